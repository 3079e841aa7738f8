"""How fast and how many calls a tenant may start: a bound of its own"""

from alembic import op
import sqlalchemy as sa

revision = 'tenant_limits'
down_revision = 'routes'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('tenant', sa.Column('calls_per_second', sa.Float(), nullable=True))
    op.add_column('tenant', sa.Column('concurrent_calls', sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column('tenant', 'concurrent_calls')
    op.drop_column('tenant', 'calls_per_second')
