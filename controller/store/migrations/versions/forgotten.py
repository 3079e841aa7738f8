"""Customers whose last agent is to be forgotten"""

from alembic import op
import sqlalchemy as sa

revision = 'forgotten'
down_revision = 'streams'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'forgotten',
        sa.Column('tenant', sa.Text(), nullable=False),
        sa.Column('x', sa.Text(), nullable=False),
        sa.Column('customer', sa.Text(), nullable=False),
        sa.Column('at', sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(['tenant'], ['tenant.id'], name=op.f('fk_forgotten_tenant_tenant'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('tenant', 'x', 'customer', name=op.f('pk_forgotten')),
    )
    op.create_index('ix_forgotten_at', 'forgotten', ['at'])


def downgrade() -> None:
    op.drop_table('forgotten')
