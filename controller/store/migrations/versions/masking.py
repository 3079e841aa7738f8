"""X numbers and their pools, bindings, claims and the history of bindings"""

from alembic import op
import sqlalchemy as sa

revision = 'masking'
down_revision = 'policy'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('binding',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('tenant', sa.Text(), nullable=False),
    sa.Column('mode', sa.Text(), nullable=False),
    sa.Column('a', sa.Text(), nullable=False),
    sa.Column('b', sa.Text(), nullable=False),
    sa.Column('x', sa.Text(), nullable=False),
    sa.Column('y', sa.Text(), nullable=False),
    sa.Column('extension', sa.Text(), nullable=False),
    sa.Column('a_pin', sa.Text(), nullable=False),
    sa.Column('b_pin', sa.Text(), nullable=False),
    sa.Column('temporary', sa.Text(), nullable=False),
    sa.Column('temporary_until', sa.BigInteger(), nullable=False),
    sa.Column('pool', sa.Text(), nullable=False),
    sa.Column('area', sa.Text(), nullable=False),
    sa.Column('rules', sa.Text(), nullable=False),
    sa.Column('ttl_ms', sa.BigInteger(), nullable=True),
    sa.Column('ttl_from', sa.Text(), nullable=False),
    sa.Column('cool_ms', sa.BigInteger(), nullable=False),
    sa.Column('reference', sa.Text(), nullable=True),
    sa.Column('metadata', sa.Text(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.Column('last_call_at', sa.BigInteger(), nullable=True),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('sequence', sa.BigInteger(), nullable=False),
    sa.CheckConstraint("state IN ('active', 'released', 'expired')", name='ck_binding_state'),
    sa.ForeignKeyConstraint(['tenant'], ['tenant.id'], name=op.f('fk_binding_tenant_tenant'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_binding'))
    )
    with op.batch_alter_table('binding', schema=None) as batch_op:
        batch_op.create_index('ix_binding_a', ['a'], unique=False)
        batch_op.create_index('ix_binding_b', ['b'], unique=False, sqlite_where=sa.text("b <> ''"), postgresql_where=sa.text("b <> ''"))
        batch_op.create_index('ix_binding_due', ['expires_at'], unique=False, sqlite_where=sa.text("state = 'active'"), postgresql_where=sa.text("state = 'active'"))
        batch_op.create_index('ix_binding_reference', ['tenant', 'reference'], unique=False, sqlite_where=sa.text('reference IS NOT NULL'), postgresql_where=sa.text('reference IS NOT NULL'))
        batch_op.create_index('ix_binding_tenant', ['tenant', 'id'], unique=False)
        batch_op.create_index('ix_binding_x', ['x'], unique=False)

    op.create_table('pool',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('tenant', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('area_match', sa.Text(), nullable=False),
    sa.Column('cool_ms', sa.BigInteger(), nullable=False),
    sa.Column('unknown', sa.Text(), nullable=False),
    sa.Column('prompt', sa.Text(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['tenant'], ['tenant.id'], name=op.f('fk_pool_tenant_tenant'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_pool')),
    sa.UniqueConstraint('tenant', 'name', name=op.f('uq_pool_tenant_name'))
    )
    op.create_table('binding_fact',
    sa.Column('binding', sa.Text(), nullable=False),
    sa.Column('sequence', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('data', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['binding'], ['binding.id'], name=op.f('fk_binding_fact_binding_binding'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('binding', 'sequence', name=op.f('pk_binding_fact'))
    )
    op.create_table('x_number',
    sa.Column('number', sa.Text(), nullable=False),
    sa.Column('tenant', sa.Text(), nullable=False),
    sa.Column('area', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('pool', sa.Text(), nullable=True),
    sa.Column('use', sa.Text(), nullable=True),
    sa.Column('spot', sa.BigInteger(), nullable=False),
    sa.Column('idle_from', sa.BigInteger(), nullable=False),
    sa.Column('taken_until', sa.BigInteger(), nullable=False),
    sa.CheckConstraint("state IN ('active', 'locked', 'frozen')", name='ck_x_number_state'),
    sa.ForeignKeyConstraint(['number'], ['display_number.number'], name=op.f('fk_x_number_number_display_number'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['pool'], ['pool.id'], name=op.f('fk_x_number_pool_pool')),
    sa.ForeignKeyConstraint(['tenant'], ['tenant.id'], name=op.f('fk_x_number_tenant_tenant'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_x_number')),
    sa.UniqueConstraint('number', 'use', name=op.f('uq_x_number_number_use'))
    )
    with op.batch_alter_table('x_number', schema=None) as batch_op:
        batch_op.create_index('ix_x_number_pool', ['pool', 'spot'], unique=False)
        batch_op.create_index('ix_x_number_tenant', ['tenant'], unique=False)

    op.create_table('binding_claim',
    sa.Column('x', sa.Text(), nullable=False),
    sa.Column('party', sa.Text(), nullable=False),
    sa.Column('extension', sa.Text(), nullable=False),
    sa.Column('use', sa.Text(), nullable=False),
    sa.Column('side', sa.Text(), nullable=False),
    sa.Column('binding', sa.Text(), nullable=False),
    sa.Column('taken_until', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['binding'], ['binding.id'], name=op.f('fk_binding_claim_binding_binding'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['x', 'use'], ['x_number.number', 'x_number.use'], name='fk_binding_claim_x_use'),
    sa.PrimaryKeyConstraint('x', 'party', 'extension', name=op.f('pk_binding_claim'))
    )
    with op.batch_alter_table('binding_claim', schema=None) as batch_op:
        batch_op.create_index('ix_binding_claim_binding', ['binding'], unique=False)
        batch_op.create_index('ix_binding_claim_dead', ['taken_until'], unique=False, sqlite_where=sa.text('taken_until < 9007199254740991'), postgresql_where=sa.text('taken_until < 9007199254740991'))
        batch_op.create_index('ix_binding_claim_party', ['party', 'extension'], unique=False)


def downgrade() -> None:
    for table in ('binding_claim', 'x_number', 'binding_fact', 'pool', 'binding'):
        op.drop_table(table)
