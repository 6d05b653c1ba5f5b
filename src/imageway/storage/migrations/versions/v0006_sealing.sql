-- What is sealed goes with its owner.

CREATE FUNCTION imageway_drop_secret() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM secrets WHERE kind = TG_ARGV[0] AND holder_id = OLD.id;
  RETURN NULL;
END $$;

CREATE TRIGGER webhook_secrets_gone AFTER DELETE ON webhook_secrets
  FOR EACH ROW EXECUTE FUNCTION imageway_drop_secret('webhook');
CREATE TRIGGER keys_revoked AFTER UPDATE OF revoked_ms ON keys
  FOR EACH ROW WHEN (NEW.revoked_ms IS NOT NULL) EXECUTE FUNCTION imageway_drop_secret('signing');
