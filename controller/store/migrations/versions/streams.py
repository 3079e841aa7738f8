"""What is told of bindings, agents and nodes goes the way of what is told of calls"""

from alembic import op
import sqlalchemy as sa

revision = 'streams'
down_revision = 'looked_up'
branch_labels = None
depends_on = None

KNOWN = {
    name: {where: sa.text(f'{name} IS NOT NULL') for where in ('sqlite_where', 'postgresql_where')}
    for name in ('old_from', 'told_at')
}


def upgrade() -> None:
    op.add_column('webhook_endpoint', sa.Column('operator_at', sa.BigInteger(), nullable=True))
    op.create_table('stream',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('tenant', sa.Text(), nullable=False),
    sa.Column('reference', sa.Text(), nullable=True),
    sa.Column('metadata', sa.Text(), nullable=True),
    sa.Column('sequence', sa.BigInteger(), nullable=False),
    sa.Column('over', sa.BigInteger(), nullable=False),
    sa.Column('old_from', sa.BigInteger(), nullable=True),
    sa.Column('told_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_stream'))
    )
    op.execute("""
        INSERT INTO stream (id, tenant, reference, metadata, sequence, over, old_from)
        SELECT 'bind_' || id, tenant, reference, metadata, sequence, CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END, ended_at
        FROM binding""")
    op.execute("""
        INSERT INTO fact (call, sequence, type, at, data)
        SELECT 'bind_' || binding, sequence, type, at, data FROM binding_fact""")
    op.create_index('ix_stream_old', 'stream', ['old_from'], **KNOWN['old_from'])
    op.create_index('ix_stream_told', 'stream', ['told_at'], **KNOWN['told_at'])
    op.drop_table('binding_fact')


def downgrade() -> None:
    op.create_table('binding_fact',
    sa.Column('binding', sa.Text(), nullable=False),
    sa.Column('sequence', sa.BigInteger(), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('data', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['binding'], ['binding.id'], name=op.f('fk_binding_fact_binding_binding'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('binding', 'sequence', name=op.f('pk_binding_fact'))
    )
    op.execute("""
        INSERT INTO binding_fact (binding, sequence, type, at, data)
        SELECT substr(call, 6), sequence, type, at, data FROM fact WHERE call LIKE 'bind!_%' ESCAPE '!'""")
    op.execute('DELETE FROM webhook_cursor WHERE call IN (SELECT id FROM stream)')
    op.execute('DELETE FROM fact WHERE call IN (SELECT id FROM stream)')
    op.drop_table('stream')
    op.drop_column('webhook_endpoint', 'operator_at')
