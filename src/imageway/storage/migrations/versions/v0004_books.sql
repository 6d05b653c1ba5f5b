-- The ops of money and usage with their new columns, and claims that may be taken anew. The two rules of the first step
-- hold here too: no percent sign (nor a colon before a word, which would be a parameter), and no condition of a partial
-- index where one row is wanted by its key.

ALTER INDEX wallets_anew_pkey RENAME TO wallets_pkey;

CREATE OR REPLACE FUNCTION imageway_create_workspace(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO workspaces (id, name, created_ms) VALUES (op->>'id', op->>'name', (op->>'at_ms')::bigint)
    ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN 'name_taken'; END IF;
  INSERT INTO wallets (workspace_id, available, held, spent, topped_up, granted, adjusted)
    VALUES (op->>'id', 0, 0, 0, 0, 0, 0);
  RETURN NULL;
END $$;

-- What comes into a wallet, or leaves it by hand: `came` says which of its sources.
CREATE FUNCTION imageway_pay_in(kind text, came text, op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  amount bigint := (op->>'usd_micros')::bigint;
BEGIN
  UPDATE wallets SET available = available + amount,
      topped_up = topped_up + CASE came WHEN 'topped_up' THEN amount ELSE 0 END,
      granted = granted + CASE came WHEN 'granted' THEN amount ELSE 0 END,
      adjusted = adjusted + CASE came WHEN 'adjusted' THEN amount ELSE 0 END
    WHERE workspace_id = op->>'workspace_id' AND available + amount >= 0;
  IF NOT FOUND THEN
    PERFORM 1 FROM wallets WHERE workspace_id = op->>'workspace_id';
    RETURN CASE WHEN FOUND THEN 'insufficient_balance' ELSE 'no_workspace' END;
  END IF;
  INSERT INTO transfers (kind, workspace_id, topup_id, account, usd_micros, at_ms)
    VALUES (kind, op->>'workspace_id', op->>'id', 'wallet', abs(amount), (op->>'at_ms')::bigint)
    ON CONFLICT DO NOTHING;
  RETURN CASE WHEN NOT FOUND THEN 'duplicate' END;
END $$;

DROP FUNCTION imageway_topup;

CREATE FUNCTION imageway_spend_budget(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  asked budgets := jsonb_populate_record(NULL::budgets, op);
  amount bigint := (op->>'usd_micros')::bigint;
BEGIN
  UPDATE budgets
    SET used_usd_micros = CASE WHEN window_ms < asked.window_ms THEN 0 ELSE used_usd_micros END + amount,
      window_ms = GREATEST(window_ms, asked.window_ms)
    WHERE budget_id = asked.budget_id AND period = asked.period
      AND CASE WHEN window_ms < asked.window_ms THEN 0 ELSE used_usd_micros END + amount <= limit_usd_micros;
  IF FOUND THEN RETURN NULL; END IF;
  PERFORM 1 FROM budgets WHERE budget_id = asked.budget_id AND period = asked.period;
  RETURN CASE WHEN FOUND THEN 'budget_exceeded' END;
END $$;

-- All fields of an op at once, as a row of its table: one by one they cost more than the row itself. What a bytea reads
-- of base64 is the text.
CREATE OR REPLACE FUNCTION imageway_record_usage(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  asked usage := jsonb_populate_record(NULL::usage, op);
BEGIN
  INSERT INTO usage (
      request_id, workspace_id, key_id, model, outcome, n, delivered, price_usd_micros, cost_usd_micros, lines,
      delivery, owner, upstream_id, at_ms, delivery_ms, dialect, operation, offering, size, input_text_tokens,
      input_image_tokens, output_text_tokens, output_image_tokens, queue_ms, upstream_ms, total_ms, warnings, error
    ) VALUES (
      asked.request_id, asked.workspace_id, asked.key_id, asked.model, asked.outcome, asked.n, asked.delivered,
      asked.price_usd_micros, asked.cost_usd_micros, decode(encode(asked.lines, 'escape'), 'base64'), asked.delivery,
      asked.owner, asked.upstream_id, asked.at_ms, asked.at_ms, asked.dialect, asked.operation, asked.offering,
      asked.size, asked.input_text_tokens, asked.input_image_tokens, asked.output_text_tokens,
      asked.output_image_tokens, asked.queue_ms, asked.upstream_ms, asked.total_ms, asked.warnings, asked.error
    ) ON CONFLICT DO NOTHING;
  RETURN CASE WHEN NOT FOUND THEN 'duplicate' END;
END $$;

-- What a group of commits has recorded goes into the sums of its hours and days at the end, in one statement: added up
-- row by row, every one of them would leave a dead version of the same two rows.
CREATE FUNCTION imageway_add_up(recorded jsonb[]) RETURNS void LANGUAGE sql AS $$
  INSERT INTO usage_sums
    SELECT span_ms, at_ms / span_ms * span_ms, workspace_id, key_id, model, upstream_id, outcome,
      COUNT(*), SUM(n), SUM(delivered), SUM(price_usd_micros),
      SUM(CASE WHEN delivery = 'refunded' THEN price_usd_micros ELSE 0 END), SUM(cost_usd_micros),
      SUM(input_text_tokens + input_image_tokens + output_text_tokens + output_image_tokens),
      SUM(total_ms), SUM(upstream_ms)
    FROM unnest(recorded) AS op,
      jsonb_to_record(op) AS row(
        workspace_id text, key_id text, model text, upstream_id text, outcome text, delivery text, at_ms bigint,
        n bigint, delivered bigint, price_usd_micros bigint, cost_usd_micros bigint, input_text_tokens bigint,
        input_image_tokens bigint, output_text_tokens bigint, output_image_tokens bigint, total_ms bigint,
        upstream_ms bigint
      ),
      (VALUES (3600000::bigint), (86400000)) AS spans (span_ms)
    GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (span_ms, begin_ms, workspace_id, key_id, model, upstream_id, outcome) DO UPDATE SET
      requests = usage_sums.requests + excluded.requests, asked = usage_sums.asked + excluded.asked,
      delivered = usage_sums.delivered + excluded.delivered,
      price_usd_micros = usage_sums.price_usd_micros + excluded.price_usd_micros,
      refunded_usd_micros = usage_sums.refunded_usd_micros + excluded.refunded_usd_micros,
      cost_usd_micros = usage_sums.cost_usd_micros + excluded.cost_usd_micros,
      tokens = usage_sums.tokens + excluded.tokens, total_ms = usage_sums.total_ms + excluded.total_ms,
      upstream_ms = usage_sums.upstream_ms + excluded.upstream_ms
$$;

CREATE OR REPLACE FUNCTION imageway_mark_delivery(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  before usage;
BEGIN
  SELECT * INTO before FROM usage WHERE request_id = op->>'request_id' FOR NO KEY UPDATE;
  IF NOT FOUND OR before.delivery <> 'undelivered' THEN RETURN 'not_undelivered'; END IF;
  UPDATE usage SET delivery = op->>'delivery', delivery_ms = (op->>'at_ms')::bigint WHERE seq = before.seq;
  IF op->>'delivery' = 'refunded' THEN
    -- The row may be one that this very group has recorded, whose sums come later.
    INSERT INTO usage_sums
      SELECT span_ms, before.at_ms / span_ms * span_ms, before.workspace_id, before.key_id, before.model,
        before.upstream_id, before.outcome, 0, 0, 0, 0, before.price_usd_micros, 0, 0, 0, 0
      FROM (VALUES (3600000::bigint), (86400000)) AS spans (span_ms) ORDER BY span_ms
      ON CONFLICT (span_ms, begin_ms, workspace_id, key_id, model, upstream_id, outcome) DO UPDATE
        SET refunded_usd_micros = usage_sums.refunded_usd_micros + excluded.refunded_usd_micros;
  END IF;
  RETURN NULL;
END $$;

-- Whether the claim is over is asked by a statement of its own, once the claim is locked: one that has waited for the
-- lock still sees the tasks as they were before it waited, and would take the rival's new task for one that is gone.
CREATE FUNCTION imageway_claim_key(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO claims (workspace_id, key, task_id, at_ms, fingerprint)
    VALUES (op->>'workspace_id', op->>'key', op->>'task_id', (op->>'at_ms')::bigint, decode(op->>'fingerprint', 'base64'))
    ON CONFLICT DO NOTHING;
  IF FOUND THEN RETURN NULL; END IF;
  PERFORM 1 FROM claims WHERE workspace_id = op->>'workspace_id' AND key = op->>'key' FOR UPDATE;
  UPDATE claims SET task_id = op->>'task_id', at_ms = (op->>'at_ms')::bigint,
      fingerprint = decode(op->>'fingerprint', 'base64')
    WHERE workspace_id = op->>'workspace_id' AND key = op->>'key' AND (at_ms <= (op->>'expired_ms')::bigint
      OR NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = claims.task_id AND state NOT IN ('failed', 'cancelled')));
  RETURN CASE WHEN NOT FOUND THEN 'in_use' END;
END $$;

CREATE FUNCTION imageway_apply_rare(name text, op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CASE name
    WHEN 'Refund' THEN RETURN imageway_refund(op);
    WHEN 'BookOverrun' THEN RETURN imageway_book('overrun', 'overrun', op);
    WHEN 'TopUp' THEN RETURN imageway_pay_in('topup', 'topped_up', op);
    WHEN 'Grant' THEN RETURN imageway_pay_in('grant', 'granted', op);
    WHEN 'Adjust' THEN
      RETURN imageway_pay_in(CASE WHEN (op->>'usd_micros')::bigint < 0 THEN 'adjust_down' ELSE 'adjust_up' END,
        'adjusted', op);
    WHEN 'CreateWorkspace' THEN RETURN imageway_create_workspace(op);
    WHEN 'CreateKey' THEN RETURN imageway_create_key(op);
    WHEN 'RevokeKey' THEN
      UPDATE keys SET revoked_ms = (op->>'at_ms')::bigint WHERE id = op->>'id' AND revoked_ms IS NULL;
      RETURN CASE WHEN NOT FOUND THEN 'no_key' END;
    WHEN 'RequeueTask' THEN RETURN imageway_requeue_task(op);
    WHEN 'MarkCancel' THEN
      UPDATE tasks SET cancel_ms = COALESCE(cancel_ms, (op->>'at_ms')::bigint)
        WHERE id = op->>'id' AND finished_ms IS NULL AND owner <> '';
      RETURN CASE WHEN NOT FOUND THEN 'not_running' END;
    ELSE RETURN imageway_apply_webhook(name, op);
  END CASE;
END $$;

-- The word of refusal, or NULL. Every function says it; the statements that need only one look are written here. A
-- CASE is read from the top: what every request needs stands first, what is rare in a function of its own.
CREATE OR REPLACE FUNCTION imageway_apply(name text, op jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CASE name
    WHEN 'CreateTask' THEN RETURN imageway_create_task(op);
    WHEN 'Hold' THEN RETURN imageway_hold(op);
    WHEN 'BeginAttempt' THEN RETURN imageway_begin_attempt(op);
    WHEN 'EndAttempt' THEN RETURN imageway_evidence(op->>'state', op->>'detail', NULL, op);
    WHEN 'Capture' THEN RETURN imageway_capture(op);
    WHEN 'ClaimTask' THEN
      UPDATE tasks SET state = 'running', owner = op->>'owner', fence = fence + 1
        WHERE id = op->>'id' AND finished_ms IS NULL AND owner = '' AND fence = (op->>'fence')::bigint;
      RETURN CASE WHEN NOT FOUND THEN 'not_queued' END;
    WHEN 'QueueTask' THEN RETURN imageway_queue_task(op);
    WHEN 'NotifyEndpoints' THEN RETURN imageway_notify_endpoints(op);
    WHEN 'FinishTask' THEN
      UPDATE tasks
        SET state = op->>'state', result = decode(op->>'result', 'base64'), finished_ms = (op->>'at_ms')::bigint
        WHERE id = op->>'id' AND finished_ms IS NULL;
      RETURN CASE WHEN NOT FOUND THEN 'task_final' END;
    WHEN 'RecordUsage' THEN RETURN imageway_record_usage(op);
    WHEN 'MarkDelivery' THEN RETURN imageway_mark_delivery(op);
    WHEN 'BookCost' THEN
      RETURN CASE WHEN (op->>'known')::boolean THEN imageway_book('cost', 'cost:' || (op->>'upstream_id'), op)
        ELSE imageway_book('unknown', 'unknown:' || (op->>'upstream_id'), op) END;
    WHEN 'KeepMemo' THEN RETURN imageway_evidence('polling', NULL, decode(op->>'memo', 'base64'), op);
    WHEN 'Void' THEN RETURN imageway_void(op);
    WHEN 'SpendBudget' THEN RETURN imageway_spend_budget(op);
    WHEN 'ReleaseBudget' THEN
      UPDATE budgets SET used_usd_micros = GREATEST(used_usd_micros - (op->>'usd_micros')::bigint, 0)
        WHERE budget_id = op->>'budget_id' AND period = op->>'period' AND window_ms = (op->>'window_ms')::bigint;
      RETURN NULL;
    WHEN 'ClaimKey' THEN RETURN imageway_claim_key(op);
    WHEN 'ReplaceResult' THEN
      UPDATE tasks SET result = decode(op->>'result', 'base64')
        WHERE id = op->>'id' AND finished_ms IS NOT NULL
          AND (op->>'was' IS NULL OR result = decode(op->>'was', 'base64'));
      IF FOUND THEN RETURN NULL; END IF;
      PERFORM 1 FROM tasks WHERE id = op->>'id' AND finished_ms IS NOT NULL;
      RETURN CASE WHEN FOUND THEN 'changed' ELSE 'not_final' END;
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
    ELSE RETURN imageway_apply_rare(name, op);
  END CASE;
END $$;

-- For each unit: null (all of it is done), [place of the op that refused, its word], or "what the database objected to".
CREATE OR REPLACE FUNCTION imageway_commit(units jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  unit jsonb;
  named jsonb;
  place integer;
  why text;
  outcome jsonb;
  outcomes jsonb[] := '{}';
  name text;
  recorded jsonb[] := '{}';
  before integer;
BEGIN
  FOR unit IN SELECT value FROM jsonb_array_elements(units) LOOP
    place := 0;
    outcome := 'null';
    before := cardinality(recorded);
    BEGIN
      FOR named IN SELECT value FROM jsonb_array_elements(unit) LOOP
        name := named->>0;
        why := imageway_apply(name, named->1);
        IF why IS NOT NULL THEN RAISE EXCEPTION USING ERRCODE = 'IW001'; END IF;
        IF name = 'RecordUsage' THEN recorded := recorded || (named->1); END IF;
        place := place + 1;
      END LOOP;
    EXCEPTION
      WHEN SQLSTATE 'IW001' THEN outcome := jsonb_build_array(place, why);
      WHEN integrity_constraint_violation OR data_exception OR case_not_found THEN outcome := to_jsonb(SQLERRM);
    END;
    IF outcome <> 'null' THEN recorded := recorded[1 : before]; END IF;
    outcomes := outcomes || outcome;
  END LOOP;
  IF cardinality(recorded) > 0 THEN PERFORM imageway_add_up(recorded); END IF;
  RETURN to_jsonb(outcomes);
END $$;
