"""Empties the database that most tests share."""

import asyncpg

_REFUSE_OTHER_CHANGES = """
    CREATE FUNCTION refuse_change_of_schema() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'tests share this database: one that changes the schema has to take database_settings';
    END $$;
    CREATE FUNCTION refuse_change_of_row() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'tests share this database: one that changes % has to take database_settings', TG_TABLE_NAME;
    END $$;
    CREATE TRIGGER refuse_change_of_row BEFORE INSERT OR UPDATE OR DELETE ON alembic_version
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_row();
    CREATE EVENT TRIGGER refuse_change_of_schema ON ddl_command_start EXECUTE FUNCTION refuse_change_of_schema();
"""
# Tables with history refuse TRUNCATE until their triggers are disabled. A replica fires no event trigger.
_EMPTY = """
    SET session_replication_role = replica;
    DO $$
    DECLARE
        filled regclass;
        refusal name;
        -- An UPDATE moves the ledger's row.
        ledger_is_new boolean := EXISTS (SELECT FROM ledger WHERE ctid = '(0,1)');
    BEGIN
        FOR filled IN
            SELECT oid FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
            AND relname <> 'alembic_version' AND NOT (relname = 'ledger' AND ledger_is_new)
            AND pg_relation_size(oid) > 0
        LOOP
            EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', filled);
            EXECUTE format('TRUNCATE %s', filled);
            FOR refusal IN SELECT tgname FROM pg_trigger WHERE tgrelid = filled AND NOT tgisinternal LOOP
                EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', filled, refusal);
            END LOOP;
        END LOOP;
        INSERT INTO ledger DEFAULT VALUES ON CONFLICT DO NOTHING;
    END $$;
    RESET session_replication_role;
"""


async def refuse_other_changes(connection: asyncpg.Connection) -> None:
    """Have the database refuse the statements whose effects `empty` does not undo.

    `ALTER DATABASE` and `ALTER ROLE` belong to the server: no trigger sees them.
    """
    await connection.execute(_REFUSE_OTHER_CHANGES)


async def empty(connection: asyncpg.Connection) -> None:
    """Remove all records with their history, start the ledger anew, and undo what the session has set."""
    await connection.reset()
    await connection.execute(_EMPTY)
