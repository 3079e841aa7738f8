"""Wrong extensions and PINs, so that guessing is not made cheap by calling again"""

from alembic import op
import sqlalchemy as sa

revision = 'wrong_keys'
down_revision = 'tenant_limits'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'wrong_key',
        sa.Column('id', sa.Text(), nullable=False),
        sa.Column('tenant', sa.Text(), nullable=False),
        sa.Column('x', sa.Text(), nullable=False),
        sa.Column('caller', sa.Text(), nullable=False),
        sa.Column('at', sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(['tenant'], ['tenant.id'], name=op.f('fk_wrong_key_tenant_tenant'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_wrong_key')),
    )
    op.create_index('ix_wrong_key_tenant', 'wrong_key', ['tenant', 'at'])


def downgrade() -> None:
    op.drop_table('wrong_key')
