-- In the order in which gateways use them, so that this waits for their transactions and not the other way round.
LOCK TABLE uploads, audit IN ACCESS EXCLUSIVE MODE;

-- The ticket and the partner that an entry is about, so that the audit explains itself.
ALTER TABLE audit ADD COLUMN ticket TEXT;
ALTER TABLE audit ADD COLUMN partner_id TEXT;
UPDATE audit SET
    ticket = COALESCE((SELECT ticket FROM uploads WHERE id = audit.subject), (SELECT ticket FROM links WHERE id = audit.subject),
        (SELECT ticket FROM escalations WHERE id = audit.subject), CASE WHEN action = 'ticket.open' THEN subject END),
    partner_id = COALESCE((SELECT partner_id FROM uploads WHERE id = audit.subject),
        (SELECT partner_id FROM links WHERE id = audit.subject), (SELECT partner_id FROM escalations WHERE id = audit.subject),
        (SELECT partner_id FROM contacts WHERE id = audit.subject), (SELECT id FROM partners WHERE id = audit.subject),
        (SELECT partner_id FROM links WHERE id = substr(audit.actor, 6)));
CREATE INDEX audit_by_ticket ON audit (ticket, id);
CREATE INDEX audit_by_partner ON audit (partner_id, id);

-- From here on, no entry is changed or removed.
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only';
END
$$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
