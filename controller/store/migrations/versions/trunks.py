"""Trunks that are added at run time"""

from alembic import op
import sqlalchemy as sa

revision = 'trunks'
down_revision = 'forgotten'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('trunk',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('settings', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('draining_since', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_trunk'))
    )


def downgrade() -> None:
    op.drop_table('trunk')
