"""What Tortoise's operations cannot say: expressions, partial indexes and checks."""

from tortoise import migrations
from tortoise.migrations import operations as ops

FORWARD = (
    "CREATE UNIQUE INDEX users_email_key ON users (lower(email))",
    "CREATE INDEX token_families_user_id ON token_families (user_id)",
    "CREATE INDEX refresh_tokens_family_id ON refresh_tokens (family_id)",
    # The database itself refuses a second live token in a family, so a rotation cannot fork it.
    "CREATE UNIQUE INDEX refresh_tokens_one_live ON refresh_tokens (family_id) WHERE spent_at IS NULL",
    "ALTER TABLE refresh_tokens ADD CONSTRAINT refresh_tokens_sha256 CHECK (token_hash ~ '^[0-9a-f]{64}$')",
    "ALTER TABLE token_families ADD CONSTRAINT token_families_reason"
    " CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))",
)
BACKWARD = (
    "ALTER TABLE token_families DROP CONSTRAINT token_families_reason",
    "ALTER TABLE refresh_tokens DROP CONSTRAINT refresh_tokens_sha256",
    "DROP INDEX refresh_tokens_one_live",
    "DROP INDEX refresh_tokens_family_id",
    "DROP INDEX token_families_user_id",
    "DROP INDEX users_email_key",
)


class Migration(migrations.Migration):
    dependencies = [("identity", "0001_initial")]
    operations = [ops.RunSQL(list(FORWARD), list(BACKWARD))]
