-- What is over is forgotten after some days. The service's role may delete nothing itself: this function is all it may have done.
CREATE INDEX alert_outbox_published ON analytics.alert_outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX delivery_ended ON analytics.delivery (ended_at) WHERE state <> 'waiting';
CREATE INDEX alert_transition_in_time ON analytics.alert_transition (at);
CREATE INDEX alert_dropped ON analytics.alert (updated_at) WHERE state = 'dropped';

-- Removes up to `p_most` of each: events that were published and deliveries that ended before `p_told_before`; the steps of alerts
-- that were over, silences that had ended, and alerts that never fired, before `p_over_before`. Nothing of the last eight days goes,
-- whatever is asked for, and nothing of an alert that is open or of which somebody is still to be told.
CREATE FUNCTION analytics.forget(p_told_before timestamptz, p_over_before timestamptz, p_most integer)
RETURNS TABLE (what text, removed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_told timestamptz := least(p_told_before, clock_timestamp() - interval '8 days');
    v_over timestamptz := least(p_over_before, clock_timestamp() - interval '8 days');
    v_open text[] := ARRAY(SELECT alert_id::text FROM analytics.alert WHERE state IN ('pending', 'firing', 'acknowledged'));
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('analytics/forget', 0)) THEN
        RETURN;
    END IF;

    what := 'events';
    DELETE FROM analytics.alert_outbox WHERE position IN (
        SELECT old.position FROM analytics.alert_outbox AS old WHERE old.published_at < v_told ORDER BY old.published_at LIMIT p_most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;

    what := 'deliveries';
    DELETE FROM analytics.delivery WHERE delivery_id IN (
        SELECT old.delivery_id FROM analytics.delivery AS old
        WHERE old.state <> 'waiting' AND old.ended_at < v_told AND old.alert_id <> ALL (v_open)
            AND NOT EXISTS (SELECT FROM analytics.delivery AS left_ WHERE left_.alert_id = old.alert_id AND left_.state = 'waiting')
        ORDER BY old.ended_at LIMIT p_most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;

    what := 'steps';
    DELETE FROM analytics.alert_transition WHERE transition_id IN (
        SELECT step.transition_id FROM analytics.alert_transition AS step JOIN analytics.alert USING (alert_id)
        WHERE step.at < v_over AND alert.updated_at < v_over AND alert.state IN ('resolved', 'dropped')
        ORDER BY step.at LIMIT p_most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;

    what := 'alerts';
    DELETE FROM analytics.alert WHERE alert_id IN (
        SELECT old.alert_id FROM analytics.alert AS old
        WHERE old.state = 'dropped' AND old.fired_at IS NULL AND old.updated_at < v_over
            AND NOT EXISTS (SELECT FROM analytics.alert_transition AS step WHERE step.alert_id = old.alert_id)
            AND NOT EXISTS (SELECT FROM analytics.alert_freeze AS wanted WHERE wanted.alert_id = old.alert_id)
        ORDER BY old.updated_at LIMIT p_most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;

    what := 'silences';
    DELETE FROM analytics.silence WHERE silence_id IN (
        SELECT old.silence_id FROM analytics.silence AS old WHERE least(old.until, old.ended_at) < v_over LIMIT p_most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION analytics.forget FROM PUBLIC;
