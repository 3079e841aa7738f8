"""Routes of X numbers: who is asked what becomes of a call"""

from alembic import op
import sqlalchemy as sa

revision = 'routes'
down_revision = 'agents'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('x_number', sa.Column('route', sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('x_number') as batch:
        batch.drop_column('route')
