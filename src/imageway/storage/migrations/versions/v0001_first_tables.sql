-- PostgreSQL commits a group of units in one call. A unit is an array of [name, op]: the op's class and its fields as
-- JSON, bytes as base64. Every unit stands in a block of its own, so that a refused one goes alone.
--
-- Two rules for what follows. No percent sign: the script is rendered by a formatter that doubles it. No statement that
-- wants one row by its key may repeat the condition of a partial index: without statistics the planner then prefers to
-- walk that index. So "not final" is written `finished_ms IS NULL`.

CREATE FUNCTION imageway_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'transfers are never changed: book another one' USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER transfers_no_change BEFORE UPDATE OR DELETE ON transfers
  FOR EACH ROW EXECUTE FUNCTION imageway_refuse_change();

CREATE FUNCTION imageway_topup(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  UPDATE wallets SET available = available + (op->>'usd_micros')::bigint WHERE workspace_id = op->>'workspace_id';
  IF NOT FOUND THEN RETURN 'no_workspace'; END IF;
  INSERT INTO transfers (kind, workspace_id, topup_id, account, usd_micros, at_ms)
    VALUES ('topup', op->>'workspace_id', op->>'id', 'wallet', (op->>'usd_micros')::bigint, (op->>'at_ms')::bigint)
    ON CONFLICT DO NOTHING;
  RETURN CASE WHEN NOT FOUND THEN 'duplicate' END;
END $$;

CREATE FUNCTION imageway_hold(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  amount bigint := (op->>'usd_micros')::bigint;
  wallet text := op->>'workspace_id';
BEGIN
  INSERT INTO holds (task_id, workspace_id, usd_micros, captured, state)
    VALUES (op->>'task_id', wallet, amount, 0, 'open') ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN 'duplicate'; END IF;
  UPDATE wallets SET available = available - amount, held = held + amount
    WHERE workspace_id = wallet AND available >= amount;
  IF NOT FOUND THEN
    PERFORM 1 FROM wallets WHERE workspace_id = wallet;
    RETURN CASE WHEN FOUND THEN 'insufficient_balance' ELSE 'no_workspace' END;
  END IF;
  INSERT INTO transfers (kind, workspace_id, task_id, account, usd_micros, at_ms)
    VALUES ('hold', wallet, op->>'task_id', 'wallet', amount, (op->>'at_ms')::bigint);
  RETURN NULL;
END $$;

CREATE FUNCTION imageway_capture(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  amount bigint := (op->>'usd_micros')::bigint;
  hold holds;
BEGIN
  UPDATE holds SET state = 'captured', captured = amount
    WHERE task_id = op->>'task_id' AND state = 'open' AND usd_micros >= amount RETURNING * INTO hold;
  IF NOT FOUND THEN
    PERFORM 1 FROM holds WHERE task_id = op->>'task_id' AND state = 'open';
    RETURN CASE WHEN FOUND THEN 'above_hold' ELSE 'no_open_hold' END;
  END IF;
  UPDATE wallets
    SET available = available + hold.usd_micros - amount, held = held - hold.usd_micros, spent = spent + amount
    WHERE workspace_id = hold.workspace_id;
  INSERT INTO transfers (kind, workspace_id, task_id, account, usd_micros, at_ms)
    VALUES ('capture', hold.workspace_id, hold.task_id, 'wallet', amount, (op->>'at_ms')::bigint);
  IF hold.usd_micros > amount THEN
    INSERT INTO transfers (kind, workspace_id, task_id, account, usd_micros, at_ms)
      VALUES ('void', hold.workspace_id, hold.task_id, 'wallet', hold.usd_micros - amount, (op->>'at_ms')::bigint);
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION imageway_void(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hold holds;
BEGIN
  UPDATE holds SET state = 'voided' WHERE task_id = op->>'task_id' AND state = 'open' RETURNING * INTO hold;
  IF NOT FOUND THEN RETURN 'no_open_hold'; END IF;
  UPDATE wallets SET available = available + hold.usd_micros, held = held - hold.usd_micros
    WHERE workspace_id = hold.workspace_id;
  INSERT INTO transfers (kind, workspace_id, task_id, account, usd_micros, at_ms)
    VALUES ('void', hold.workspace_id, hold.task_id, 'wallet', hold.usd_micros, (op->>'at_ms')::bigint);
  RETURN NULL;
END $$;

CREATE FUNCTION imageway_refund(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hold holds;
BEGIN
  UPDATE holds SET state = 'refunded' WHERE task_id = op->>'task_id' AND state = 'captured' RETURNING * INTO hold;
  IF NOT FOUND THEN RETURN 'not_captured'; END IF;
  UPDATE wallets SET available = available + hold.captured, spent = spent - hold.captured
    WHERE workspace_id = hold.workspace_id;
  INSERT INTO transfers (kind, workspace_id, task_id, account, usd_micros, at_ms)
    VALUES ('refund', hold.workspace_id, hold.task_id, 'wallet', hold.captured, (op->>'at_ms')::bigint);
  RETURN NULL;
END $$;

CREATE FUNCTION imageway_book(kind text, account text, op jsonb) RETURNS text LANGUAGE sql AS $$
  INSERT INTO transfers (kind, task_id, account, usd_micros, at_ms)
    VALUES (kind, op->>'task_id', account, (op->>'usd_micros')::bigint, (op->>'at_ms')::bigint);
  SELECT NULL::text;
$$;

CREATE FUNCTION imageway_create_workspace(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO workspaces (id, name, created_ms) VALUES (op->>'id', op->>'name', (op->>'at_ms')::bigint)
    ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN 'name_taken'; END IF;
  INSERT INTO wallets (workspace_id, available, held, spent) VALUES (op->>'id', 0, 0, 0);
  RETURN NULL;
END $$;

CREATE FUNCTION imageway_create_key(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO keys (id, workspace_id, name, digest, hint, models, created_ms)
    SELECT op->>'id', workspaces.id, op->>'name', decode(op->>'digest', 'base64'), op->>'hint', op->>'models',
      (op->>'at_ms')::bigint
    FROM workspaces WHERE workspaces.id = op->>'workspace_id' ON CONFLICT DO NOTHING;
  IF FOUND THEN RETURN NULL; END IF;
  PERFORM 1 FROM workspaces WHERE id = op->>'workspace_id';
  RETURN CASE WHEN FOUND THEN 'duplicate' ELSE 'no_workspace' END;
END $$;

CREATE FUNCTION imageway_record_usage(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO usage (request_id, workspace_id, key_id, model, outcome, n, delivered, price_usd_micros,
      cost_usd_micros, lines, delivery, owner, upstream_id, at_ms, delivery_ms)
    VALUES (op->>'request_id', op->>'workspace_id', op->>'key_id', op->>'model', op->>'outcome', (op->>'n')::bigint,
      (op->>'delivered')::bigint, (op->>'price_usd_micros')::bigint, (op->>'cost_usd_micros')::bigint,
      decode(op->>'lines', 'base64'), op->>'delivery', op->>'owner', op->>'upstream_id', (op->>'at_ms')::bigint,
      (op->>'at_ms')::bigint)
    ON CONFLICT DO NOTHING;
  RETURN CASE WHEN NOT FOUND THEN 'duplicate' END;
END $$;

CREATE FUNCTION imageway_mark_delivery(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  before usage;
BEGIN
  SELECT * INTO before FROM usage WHERE request_id = op->>'request_id' FOR NO KEY UPDATE;
  IF NOT FOUND OR before.delivery <> 'undelivered' THEN RETURN 'not_undelivered'; END IF;
  UPDATE usage SET delivery = op->>'delivery', delivery_ms = (op->>'at_ms')::bigint WHERE seq = before.seq;
  RETURN NULL;
END $$;

CREATE FUNCTION imageway_create_task(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO tasks (id, workspace_id, key_id, model, state, owner, fence, request, result, created_ms, deadline_ms)
    SELECT op->>'id', op->>'workspace_id', keys.id, op->>'model', 'running', op->>'owner', 1,
      decode(op->>'request', 'base64'), '', (op->>'created_ms')::bigint, (op->>'deadline_ms')::bigint
    FROM keys WHERE keys.id = op->>'key_id' AND revoked_ms IS NULL ON CONFLICT DO NOTHING;
  IF FOUND THEN RETURN NULL; END IF;
  PERFORM 1 FROM keys WHERE keys.id = op->>'key_id' AND revoked_ms IS NULL;
  RETURN CASE WHEN FOUND THEN 'duplicate' ELSE 'key_revoked' END;
END $$;

-- The task is locked before an attempt is judged by it: another replica may be ending or adopting it just now.
CREATE FUNCTION imageway_begin_attempt(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  task tasks;
BEGIN
  SELECT * INTO task FROM tasks WHERE id = op->>'task_id' FOR NO KEY UPDATE;
  IF NOT FOUND OR (task.state, task.owner, task.fence) <> ('running', op->>'owner', (op->>'fence')::bigint) THEN
    RETURN 'not_owner';
  END IF;
  INSERT INTO attempts (id, task_id, part, upstream_id, offering, state, memo, detail, at_ms, deadline_ms, changed_ms)
    VALUES (op->>'id', op->>'task_id', (op->>'part')::bigint, op->>'upstream_id', op->>'offering', 'submitted', '', '',
      (op->>'at_ms')::bigint, (op->>'deadline_ms')::bigint, (op->>'at_ms')::bigint)
    ON CONFLICT DO NOTHING;
  RETURN CASE WHEN NOT FOUND THEN 'duplicate' END;
END $$;

CREATE FUNCTION imageway_evidence(after text, note text, kept bytea, op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM tasks WHERE id = (SELECT task_id FROM attempts WHERE attempts.id = op->>'attempt_id')
    AND finished_ms IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN 'task_final'; END IF;
  UPDATE attempts SET state = after, detail = COALESCE(note, detail), memo = COALESCE(kept, memo),
      changed_ms = (op->>'at_ms')::bigint
    WHERE id = op->>'attempt_id' AND state IN ('submitted', 'polling');
  RETURN CASE WHEN NOT FOUND THEN 'attempt_final' END;
END $$;

-- The word of refusal, or NULL. Every function says it; the statements that need only one look are written here.
CREATE FUNCTION imageway_apply(name text, op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CASE name
    WHEN 'CreateTask' THEN RETURN imageway_create_task(op);
    WHEN 'Hold' THEN RETURN imageway_hold(op);
    WHEN 'BeginAttempt' THEN RETURN imageway_begin_attempt(op);
    WHEN 'EndAttempt' THEN RETURN imageway_evidence(op->>'state', op->>'detail', NULL, op);
    WHEN 'Capture' THEN RETURN imageway_capture(op);
    WHEN 'FinishTask' THEN
      UPDATE tasks
        SET state = op->>'state', result = decode(op->>'result', 'base64'), finished_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'id' AND finished_ms IS NULL;
      RETURN CASE WHEN NOT FOUND THEN 'task_final' END;
    WHEN 'RecordUsage' THEN RETURN imageway_record_usage(op);
    WHEN 'MarkDelivery' THEN RETURN imageway_mark_delivery(op);
    WHEN 'BookCost' THEN RETURN imageway_book('cost', 'cost:' || (op->>'upstream_id'), op);
    WHEN 'KeepMemo' THEN RETURN imageway_evidence('polling', NULL, decode(op->>'memo', 'base64'), op);
    WHEN 'Void' THEN RETURN imageway_void(op);
    WHEN 'ClaimKey' THEN
      INSERT INTO claims (workspace_id, key, task_id, at_ms)
        VALUES (op->>'workspace_id', op->>'key', op->>'task_id', (op->>'at_ms')::bigint) ON CONFLICT DO NOTHING;
      RETURN CASE WHEN NOT FOUND THEN 'in_use' END;
    WHEN 'ReplaceResult' THEN
      UPDATE tasks SET result = decode(op->>'result', 'base64')
        WHERE id = op->>'id' AND finished_ms IS NOT NULL;
      RETURN CASE WHEN NOT FOUND THEN 'not_final' END;
    WHEN 'RenewLease' THEN
      INSERT INTO leases (owner, until_ms) VALUES (op->>'owner', (op->>'until_ms')::bigint)
        ON CONFLICT (owner) DO UPDATE SET until_ms = excluded.until_ms;
      RETURN NULL;
    WHEN 'DropLease' THEN
      DELETE FROM leases WHERE owner = op->>'owner';
      RETURN NULL;
    WHEN 'AdoptTask' THEN
      UPDATE tasks SET owner = op->>'to_owner', fence = fence + 1
        WHERE id = op->>'id' AND finished_ms IS NULL AND state <> 'queued'
          AND owner = op->>'from_owner' AND fence = (op->>'from_fence')::bigint;
      RETURN CASE WHEN NOT FOUND THEN 'not_owner' END;
    WHEN 'Refund' THEN RETURN imageway_refund(op);
    WHEN 'BookOverrun' THEN RETURN imageway_book('overrun', 'overrun', op);
    WHEN 'TopUp' THEN RETURN imageway_topup(op);
    WHEN 'CreateWorkspace' THEN RETURN imageway_create_workspace(op);
    WHEN 'CreateKey' THEN RETURN imageway_create_key(op);
    WHEN 'RevokeKey' THEN
      UPDATE keys SET revoked_ms = (op->>'at_ms')::bigint WHERE id = op->>'id' AND revoked_ms IS NULL;
      RETURN CASE WHEN NOT FOUND THEN 'no_key' END;
  END CASE;
END $$;

-- For each unit: null (all of it is done), [place of the op that refused, its word], or "what the database objected to".
CREATE FUNCTION imageway_commit(units jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  unit jsonb;
  named jsonb;
  place integer;
  why text;
  outcome jsonb;
  outcomes jsonb[] := '{}';
BEGIN
  FOR unit IN SELECT value FROM jsonb_array_elements(units) LOOP
    place := 0;
    outcome := 'null';
    BEGIN
      FOR named IN SELECT value FROM jsonb_array_elements(unit) LOOP
        why := imageway_apply(named->>0, named->1);
        IF why IS NOT NULL THEN RAISE EXCEPTION USING ERRCODE = 'IW001'; END IF;
        place := place + 1;
      END LOOP;
    EXCEPTION
      WHEN SQLSTATE 'IW001' THEN outcome := jsonb_build_array(place, why);
      WHEN integrity_constraint_violation OR data_exception OR case_not_found THEN outcome := to_jsonb(SQLERRM);
    END;
    outcomes := outcomes || outcome;
  END LOOP;
  RETURN to_jsonb(outcomes);
END $$;
