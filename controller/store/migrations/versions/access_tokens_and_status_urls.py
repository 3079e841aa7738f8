"""Expiry and last use of keys, tokens, lock-outs, a tenant's own rate and signing secret, status endpoints"""

from alembic import op
import sqlalchemy as sa

revision = 'access'
down_revision = '0001'
branch_labels = None
depends_on = None

ADDED = {
    'api_key': (('expires_at', sa.BigInteger()), ('last_used_at', sa.BigInteger())),
    'tenant': (
        ('requests_per_second', sa.BigInteger()),
        ('secret', sa.Text()),
        ('old_secret', sa.Text()),
        ('old_secret_until', sa.BigInteger()),
    ),
    'webhook_endpoint': (('concurrent', sa.BigInteger()),),
    'call': (('status_endpoint', sa.Text()),),
}


def upgrade() -> None:
    for table, columns in ADDED.items():
        for name, kind in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True))
    op.add_column('webhook_endpoint', sa.Column('kind', sa.Text(), server_default='subscribed', nullable=False))
    op.create_table('lockout',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('until', sa.BigInteger(), nullable=False),
    sa.Column('locks', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_lockout'))
    )
    op.create_table('oauth_token',
    sa.Column('hash', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('family', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('scopes', sa.Text(), nullable=False),
    sa.Column('began_at', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.Column('used_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['key'], ['api_key.id'], name=op.f('fk_oauth_token_key_api_key'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('hash', name=op.f('pk_oauth_token'))
    )
    op.create_index('ix_oauth_token_key', 'oauth_token', ['key', 'expires_at'], unique=False)
    op.create_index('ix_oauth_token_family', 'oauth_token', ['family'], unique=False)


def downgrade() -> None:
    op.drop_table('oauth_token')
    op.drop_table('lockout')
    with op.batch_alter_table('webhook_endpoint', schema=None) as batch_op:
        batch_op.drop_column('kind')
    for table, columns in ADDED.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for name, _ in columns:
                batch_op.drop_column(name)
