-- The ops on who may do what. The two rules of the first step hold here too: no percent sign, and no condition of a
-- partial index where one row is wanted by its key.

CREATE FUNCTION imageway_refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'what was changed is never rewritten' USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER changes_no_change BEFORE UPDATE OR DELETE ON changes
  FOR EACH ROW EXECUTE FUNCTION imageway_refuse_rewriting();
CREATE TRIGGER changes_no_truncate BEFORE TRUNCATE ON changes
  FOR EACH STATEMENT EXECUTE FUNCTION imageway_refuse_rewriting();
CREATE TRIGGER transfers_no_truncate BEFORE TRUNCATE ON transfers
  FOR EACH STATEMENT EXECUTE FUNCTION imageway_refuse_change();

CREATE OR REPLACE FUNCTION imageway_create_key(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO keys (id, workspace_id, name, digest, hint, models, created_ms, scope, expires_ms, root_id, signed)
    SELECT op->>'id', workspaces.id, op->>'name', decode(op->>'digest', 'base64'), op->>'hint', op->>'models',
      (op->>'at_ms')::bigint, decode(op->>'scope', 'base64'), (op->>'expires_ms')::bigint,
      COALESCE(NULLIF(op->>'root_id', ''), op->>'id'), (op->>'signed')::boolean::integer
    FROM workspaces WHERE workspaces.id = op->>'workspace_id' ON CONFLICT DO NOTHING;
  IF FOUND THEN RETURN NULL; END IF;
  PERFORM 1 FROM workspaces WHERE id = op->>'workspace_id';
  RETURN CASE WHEN FOUND THEN 'duplicate' ELSE 'no_workspace' END;
END $$;

-- A key is good when nobody revoked it and it has not expired.
CREATE OR REPLACE FUNCTION imageway_create_task(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO tasks (id, workspace_id, key_id, model, state, owner, fence, request, result, created_ms, deadline_ms)
    SELECT op->>'id', op->>'workspace_id', keys.id, op->>'model', 'running', op->>'owner', 1,
      decode(op->>'request', 'base64'), '', (op->>'created_ms')::bigint, (op->>'deadline_ms')::bigint
    FROM keys WHERE keys.id = op->>'key_id' AND revoked_ms IS NULL
      AND (expires_ms = 0 OR expires_ms > (op->>'created_ms')::bigint) ON CONFLICT DO NOTHING;
  IF FOUND THEN RETURN NULL; END IF;
  PERFORM 1 FROM keys WHERE keys.id = op->>'key_id' AND revoked_ms IS NULL
    AND (expires_ms = 0 OR expires_ms > (op->>'created_ms')::bigint);
  RETURN CASE WHEN FOUND THEN 'duplicate' ELSE 'key_revoked' END;
END $$;

-- And for many at once.
CREATE OR REPLACE FUNCTION imageway_all_create_task(ops jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  done bigint;
BEGIN
  INSERT INTO tasks (id, workspace_id, key_id, model, state, owner, fence, request, result, created_ms, deadline_ms)
    SELECT op.id, op.workspace_id, keys.id, op.model, 'running', op.owner, 1, decode(op.request, 'base64'), '',
      op.created_ms, op.deadline_ms
    FROM jsonb_to_recordset(ops) AS op (id text, workspace_id text, key_id text, model text, owner text, request text,
      created_ms bigint, deadline_ms bigint)
    JOIN keys ON keys.id = op.key_id AND revoked_ms IS NULL AND (expires_ms = 0 OR expires_ms > op.created_ms)
    ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS done = ROW_COUNT;
  RETURN done = jsonb_array_length(ops);
END $$;

CREATE OR REPLACE FUNCTION imageway_queue_task(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  -- The wallet is locked, as the hold that follows will anyway, so that two who queue at once cannot both be the last.
  PERFORM 1 FROM wallets WHERE workspace_id = op->>'workspace_id' FOR NO KEY UPDATE;
  INSERT INTO tasks (id, workspace_id, key_id, model, state, owner, fence, request, result, created_ms, deadline_ms)
    SELECT op->>'id', op->>'workspace_id', keys.id, op->>'model', 'queued', '', 1, decode(op->>'request', 'base64'), '',
      (op->>'created_ms')::bigint, (op->>'deadline_ms')::bigint
    FROM keys WHERE keys.id = op->>'key_id' AND revoked_ms IS NULL
      AND (expires_ms = 0 OR expires_ms > (op->>'created_ms')::bigint) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    PERFORM 1 FROM keys WHERE keys.id = op->>'key_id' AND revoked_ms IS NULL
      AND (expires_ms = 0 OR expires_ms > (op->>'created_ms')::bigint);
    RETURN CASE WHEN FOUND THEN 'duplicate' ELSE 'key_revoked' END;
  END IF;
  IF (SELECT COUNT(*) FROM tasks WHERE state = 'queued' AND workspace_id = op->>'workspace_id')
      > (op->>'limit')::bigint THEN
    RETURN 'queue_full';
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION imageway_use_signature(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  -- Those that another replica forgets just now are left to it.
  DELETE FROM signatures WHERE digest = ANY (ARRAY(
    SELECT digest FROM signatures WHERE until_ms < (op->>'at_ms')::bigint FOR UPDATE SKIP LOCKED));
  INSERT INTO signatures (digest, until_ms) VALUES (decode(op->>'digest', 'base64'), (op->>'until_ms')::bigint)
    ON CONFLICT DO NOTHING;
  RETURN CASE WHEN NOT FOUND THEN 'replayed' END;
END $$;

CREATE FUNCTION imageway_set_budget(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO budgets (budget_id, period, limit_usd_micros, used_usd_micros, window_ms)
    SELECT keys.id, op->>'period', (op->>'limit_usd_micros')::bigint, 0, 0
    FROM keys WHERE keys.id = op->>'budget_id' AND keys.root_id = keys.id
    ON CONFLICT (budget_id, period) DO UPDATE SET limit_usd_micros = excluded.limit_usd_micros;
  RETURN CASE WHEN NOT FOUND THEN 'no_key' END;
END $$;

CREATE FUNCTION imageway_add_member(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO members (workspace_id, name, role, created_ms)
    SELECT workspaces.id, op->>'name', op->>'role', (op->>'at_ms')::bigint
    FROM workspaces WHERE workspaces.id = op->>'workspace_id'
    ON CONFLICT (workspace_id, name) DO UPDATE SET role = excluded.role;
  RETURN CASE WHEN NOT FOUND THEN 'no_workspace' END;
END $$;

CREATE FUNCTION imageway_set_price_rule(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO price_rules (id, workspace_id, models, multiplier_millionths, per_image_usd_micros, rows, from_ms, source,
      created_ms)
    VALUES (op->>'id', op->>'workspace_id', op->>'models', (op->>'multiplier_millionths')::bigint,
      (op->>'per_image_usd_micros')::bigint, decode(op->>'rows', 'base64'), (op->>'from_ms')::bigint, op->>'source',
      (op->>'at_ms')::bigint)
    ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN 'duplicate'; END IF;
  IF op->>'workspace_id' = '' THEN RETURN NULL; END IF;
  PERFORM 1 FROM workspaces WHERE id = op->>'workspace_id';
  RETURN CASE WHEN NOT FOUND THEN 'no_workspace' END;
END $$;

-- The word of refusal, or NULL, of an op on keys and workspaces beyond their making.
CREATE FUNCTION imageway_apply_access(name text, op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CASE name
    WHEN 'UseSignature' THEN RETURN imageway_use_signature(op);
    WHEN 'RecordChange' THEN
      INSERT INTO changes (actor, action, target, before, after, at_ms)
        VALUES (op->>'actor', op->>'action', op->>'target', decode(op->>'before', 'base64'),
          decode(op->>'after', 'base64'), (op->>'at_ms')::bigint);
      RETURN NULL;
    WHEN 'ExpireKey' THEN
      UPDATE keys SET expires_ms = (op->>'expires_ms')::bigint WHERE id = op->>'id' AND revoked_ms IS NULL;
      RETURN CASE WHEN NOT FOUND THEN 'no_key' END;
    WHEN 'ChangeKey' THEN
      UPDATE keys SET name = op->>'name', models = op->>'models', scope = decode(op->>'scope', 'base64')
        WHERE id = op->>'id' AND revoked_ms IS NULL;
      RETURN CASE WHEN NOT FOUND THEN 'no_key' END;
    WHEN 'SetBudget' THEN RETURN imageway_set_budget(op);
    WHEN 'DropBudget' THEN
      DELETE FROM budgets WHERE budget_id = op->>'budget_id' AND period = op->>'period';
      RETURN CASE WHEN NOT FOUND THEN 'no_budget' END;
    WHEN 'ResetBudget' THEN
      UPDATE budgets SET used_usd_micros = 0 WHERE budget_id = op->>'budget_id' AND period = op->>'period';
      RETURN CASE WHEN NOT FOUND THEN 'no_budget' END;
    WHEN 'SetWorkspace' THEN
      UPDATE workspaces SET settings = decode(op->>'settings', 'base64'),
          alert_below_usd_micros = (op->>'alert_below_usd_micros')::bigint
        WHERE id = op->>'id';
      RETURN CASE WHEN NOT FOUND THEN 'no_workspace' END;
    WHEN 'MarkAlerted' THEN
      UPDATE workspaces SET alerted_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'workspace_id' AND alerted_ms IS NULL AND alert_below_usd_micros >
          (SELECT available FROM wallets WHERE wallets.workspace_id = workspaces.id);
      RETURN CASE WHEN NOT FOUND THEN 'not_low' END;
    WHEN 'RearmAlerts' THEN
      UPDATE workspaces SET alerted_ms = NULL
        WHERE alerted_ms IS NOT NULL AND COALESCE(alert_below_usd_micros, 0) <=
          (SELECT available FROM wallets WHERE wallets.workspace_id = workspaces.id);
      RETURN NULL;
    WHEN 'AddMember' THEN RETURN imageway_add_member(op);
    WHEN 'RemoveMember' THEN
      DELETE FROM members WHERE workspace_id = op->>'workspace_id' AND members.name = op->>'name';
      RETURN CASE WHEN NOT FOUND THEN 'no_member' END;
    WHEN 'CreateAdminKey' THEN
      INSERT INTO admin_keys (id, name, digest, hint, role, created_ms)
        VALUES (op->>'id', op->>'name', decode(op->>'digest', 'base64'), op->>'hint', op->>'role',
          (op->>'at_ms')::bigint)
        ON CONFLICT DO NOTHING;
      RETURN CASE WHEN NOT FOUND THEN 'duplicate' END;
    WHEN 'RevokeAdminKey' THEN
      UPDATE admin_keys SET revoked_ms = (op->>'at_ms')::bigint WHERE id = op->>'id' AND revoked_ms IS NULL;
      RETURN CASE WHEN NOT FOUND THEN 'no_key' END;
    WHEN 'SetPriceRule' THEN RETURN imageway_set_price_rule(op);
    WHEN 'EndPriceRule' THEN
      UPDATE price_rules SET until_ms = (op->>'until_ms')::bigint WHERE id = op->>'id' AND until_ms IS NULL;
      RETURN CASE WHEN NOT FOUND THEN 'no_rule' END;
    WHEN 'PutSecret' THEN
      INSERT INTO secrets (kind, holder_id, key_id, sealed, changed_ms)
        VALUES (op->>'kind', op->>'holder_id', op->>'key_id', decode(op->>'sealed', 'base64'), (op->>'at_ms')::bigint)
        ON CONFLICT (kind, holder_id) DO UPDATE
          SET key_id = excluded.key_id, sealed = excluded.sealed, changed_ms = excluded.changed_ms;
      RETURN NULL;
    WHEN 'ResealSecret' THEN
      UPDATE secrets SET key_id = op->>'key_id', sealed = decode(op->>'sealed', 'base64')
        WHERE kind = op->>'kind' AND holder_id = op->>'holder_id' AND sealed = decode(op->>'was', 'base64');
      RETURN CASE WHEN NOT FOUND THEN 'changed' END;
    WHEN 'DropSecret' THEN
      DELETE FROM secrets WHERE kind = op->>'kind' AND holder_id = op->>'holder_id';
      RETURN CASE WHEN NOT FOUND THEN 'no_secret' END;
    WHEN 'PutUpstream' THEN
      INSERT INTO upstreams (id, provider, document, enabled, changed_ms)
        VALUES (op->>'id', op->>'provider', decode(op->>'document', 'base64'), (op->>'enabled')::boolean::integer,
          (op->>'at_ms')::bigint)
        ON CONFLICT (id) DO UPDATE
          SET provider = excluded.provider, document = excluded.document, enabled = excluded.enabled,
            changed_ms = excluded.changed_ms;
      RETURN NULL;
    WHEN 'DropUpstream' THEN
      DELETE FROM upstreams WHERE id = op->>'id';
      RETURN CASE WHEN NOT FOUND THEN 'no_upstream' END;
  END CASE;
END $$;

-- The word of refusal, or NULL, of an op on webhooks.
CREATE OR REPLACE FUNCTION imageway_apply_webhook(name text, op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CASE name
    WHEN 'AddDelivery' THEN RETURN imageway_add_delivery(op);
    WHEN 'ClaimDelivery' THEN
      UPDATE webhook_deliveries
        SET fence = fence + 1, tries = tries + 1, due_ms = (op->>'until_ms')::bigint,
          changed_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'id' AND state <> 'delivered' AND state <> 'dead' AND fence = (op->>'fence')::bigint
          AND due_ms <= (op->>'at_ms')::bigint;
      RETURN CASE WHEN NOT FOUND THEN 'not_due' END;
    WHEN 'EndDelivery' THEN
      UPDATE webhook_deliveries
        SET state = op->>'state', status = (op->>'status')::bigint, detail = op->>'detail',
          changed_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'id' AND state <> 'delivered' AND state <> 'dead' AND fence = (op->>'fence')::bigint;
      RETURN CASE WHEN NOT FOUND THEN 'not_claimed' END;
    WHEN 'PostponeDelivery' THEN
      UPDATE webhook_deliveries
        SET due_ms = (op->>'due_ms')::bigint, status = (op->>'status')::bigint, detail = op->>'detail',
          changed_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'id' AND state <> 'delivered' AND state <> 'dead' AND fence = (op->>'fence')::bigint;
      RETURN CASE WHEN NOT FOUND THEN 'not_claimed' END;
    WHEN 'ReplayDelivery' THEN
      UPDATE webhook_deliveries
        SET state = 'pending', tries = 0, due_ms = (op->>'at_ms')::bigint, changed_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'id' AND state <> 'pending';
      RETURN CASE WHEN NOT FOUND THEN 'not_final' END;
    WHEN 'ForgetDeliveries' THEN
      -- As an array: a subquery is joined, which may mean to walk through the table.
      DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(
        SELECT id FROM webhook_deliveries WHERE created_ms < (op->>'before_ms')::bigint AND state <> 'pending'
        ORDER BY created_ms, id LIMIT (op->>'limit')::bigint));
      RETURN NULL;
    WHEN 'AddEndpoint' THEN RETURN imageway_add_endpoint(op);
    WHEN 'RemoveEndpoint' THEN
      DELETE FROM webhook_secrets WHERE holder_id = op->>'id';
      DELETE FROM webhook_endpoints WHERE id = op->>'id';
      RETURN CASE WHEN NOT FOUND THEN 'no_endpoint' END;
    WHEN 'DisableEndpoint' THEN
      UPDATE webhook_endpoints SET disabled_ms = (op->>'at_ms')::bigint WHERE id = op->>'id' AND disabled_ms IS NULL;
      RETURN NULL;
    WHEN 'EnableEndpoint' THEN
      UPDATE webhook_endpoints SET disabled_ms = NULL WHERE id = op->>'id' AND disabled_ms IS NOT NULL;
      RETURN CASE WHEN NOT FOUND THEN 'not_disabled' END;
    WHEN 'AddSecret' THEN RETURN imageway_add_secret(op);
    WHEN 'RotateSecret' THEN RETURN imageway_rotate_secret(op);
    ELSE RETURN imageway_apply_access(name, op);
  END CASE;
END $$;
