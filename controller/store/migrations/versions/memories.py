"""Call memories: who reaches whom by dialling a display number"""

from alembic import op
import sqlalchemy as sa

revision = 'memories'
down_revision = 'nodes'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('memory',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('tenant', sa.Text(), nullable=False),
    sa.Column('display', sa.Text(), nullable=False),
    sa.Column('party', sa.Text(), nullable=False),
    sa.Column('caller', sa.Text(), nullable=False),
    sa.Column('forward_to', sa.Text(), nullable=True),
    sa.Column('reference', sa.Text(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.Column('used_at', sa.BigInteger(), nullable=True),
    sa.Column('uses', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['tenant'], ['tenant.id'], name=op.f('fk_memory_tenant_tenant'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_memory')),
    sa.UniqueConstraint('display', 'party', name=op.f('uq_memory_display_party'))
    )
    op.create_index('ix_memory_tenant', 'memory', ['tenant', 'id'])
    op.create_index('ix_memory_expires_at', 'memory', ['expires_at'])


def downgrade() -> None:
    op.drop_table('memory')
