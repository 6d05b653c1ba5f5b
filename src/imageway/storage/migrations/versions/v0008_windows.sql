-- As before, but what comes late, from a window that is over, has to fit and counts nowhere. The two rules of the first
-- step hold here too: no percent sign, and no condition of a partial index where rows are wanted by their keys. A group
-- takes these ops one by one.

CREATE OR REPLACE FUNCTION imageway_spend_budget(op jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  asked budgets := jsonb_populate_record(NULL::budgets, op);
  amount bigint := (op->>'usd_micros')::bigint;
BEGIN
  UPDATE budgets
    SET used_usd_micros = CASE WHEN window_ms < asked.window_ms THEN 0 ELSE used_usd_micros END
        + CASE WHEN window_ms > asked.window_ms THEN 0 ELSE amount END,
      window_ms = GREATEST(window_ms, asked.window_ms)
    WHERE budget_id = asked.budget_id AND period = asked.period
      AND CASE WHEN window_ms < asked.window_ms THEN 0 ELSE used_usd_micros END + amount <= limit_usd_micros;
  IF FOUND THEN RETURN NULL; END IF;
  PERFORM 1 FROM budgets WHERE budget_id = asked.budget_id AND period = asked.period;
  RETURN CASE WHEN FOUND THEN 'budget_exceeded' END;
END $$;
