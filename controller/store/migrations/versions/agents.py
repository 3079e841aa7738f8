"""Agents: who takes calls, and which one each is assigned to"""

from alembic import op
import sqlalchemy as sa

revision = 'agents'
down_revision = 'queued'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('agent',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('tenant', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('number', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('call', sa.Text(), nullable=True),
    sa.Column('idle_since', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['tenant'], ['tenant.id'], name=op.f('fk_agent_tenant_tenant'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_agent'))
    )
    op.create_index('ix_agent_tenant', 'agent', ['tenant', 'id'])
    op.create_index(
        'ix_agent_call', 'agent', ['call'], unique=True,
        sqlite_where=sa.text('call IS NOT NULL'), postgresql_where=sa.text('call IS NOT NULL'),
    )


def downgrade() -> None:
    op.drop_table('agent')
