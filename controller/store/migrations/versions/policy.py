"""Policies: settings, kill switches, lists; when calls ended"""

from alembic import op
import sqlalchemy as sa

revision = 'policy'
down_revision = 'access'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('policy',
    sa.Column('tenant', sa.Text(), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('settings', sa.Text(), nullable=False),
    sa.Column('stopped_at', sa.BigInteger(), nullable=True),
    sa.Column('end_calls', sa.BigInteger(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('tenant', name=op.f('pk_policy'))
    )
    op.create_table('policy_list',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('tenant', sa.Text(), nullable=False),
    sa.Column('list', sa.Text(), nullable=False),
    sa.Column('number', sa.Text(), nullable=False),
    sa.Column('note', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['tenant'], ['tenant.id'], name=op.f('fk_policy_list_tenant_tenant'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_policy_list')),
    sa.UniqueConstraint('tenant', 'list', 'number', name=op.f('uq_policy_list_tenant_list_number'))
    )
    op.create_index('ix_policy_list_tenant', 'policy_list', ['tenant', 'list', 'id'])
    op.create_index(
        'ix_call_ended', 'call', ['ended_at'],
        sqlite_where=sa.text('ended_at IS NOT NULL'), postgresql_where=sa.text('ended_at IS NOT NULL'),
    )
