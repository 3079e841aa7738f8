"""What calls that come in look up: a party's last calls, an agent by number, and who is free"""

from alembic import op
import sqlalchemy as sa

revision = 'looked_up'
down_revision = 'wrong_keys'
branch_labels = None
depends_on = None

PARTIES = ('caller', 'callee')
FREE = sa.text("state = 'on_duty' AND call IS NULL")


def _known(party: str) -> dict[str, sa.TextClause]:
    return {name: sa.text(f'{party} IS NOT NULL') for name in ('sqlite_where', 'postgresql_where')}


def upgrade() -> None:
    for party in PARTIES:
        op.drop_index('ix_call_' + party, table_name='call')
        op.create_index('ix_call_' + party, 'call', ['tenant', party, 'requested_at'], **_known(party))
    op.create_index('ix_agent_number', 'agent', ['tenant', 'number', 'id'])
    op.create_index(
        'ix_agent_free', 'agent', ['tenant', 'idle_since', 'id'], sqlite_where=FREE, postgresql_where=FREE,
    )


def downgrade() -> None:
    op.drop_index('ix_agent_free', table_name='agent')
    op.drop_index('ix_agent_number', table_name='agent')
    for party in PARTIES:
        op.drop_index('ix_call_' + party, table_name='call')
        op.create_index('ix_call_' + party, 'call', ['tenant', party], **_known(party))
