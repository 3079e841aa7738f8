"""PBX nodes that are added at run time, and drains"""

from alembic import op
import sqlalchemy as sa

revision = 'nodes'
down_revision = 'masking'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('node',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('settings', sa.Text(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('draining_since', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_node'))
    )


def downgrade() -> None:
    op.drop_table('node')
