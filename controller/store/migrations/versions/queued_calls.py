"""Calls that wait, by tenant: there may be many of them"""

from alembic import op
import sqlalchemy as sa

revision = 'queued'
down_revision = 'memories'
branch_labels = None
depends_on = None

WAITING = sa.text('started_at IS NULL AND ended_at IS NULL')


def upgrade() -> None:
    op.create_index(
        'ix_call_queued', 'call', ['tenant', 'requested_at', 'id'], sqlite_where=WAITING, postgresql_where=WAITING,
    )


def downgrade() -> None:
    op.drop_index('ix_call_queued', table_name='call')
