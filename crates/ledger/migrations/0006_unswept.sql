-- What a sweep looks for: few rows among all that were ever received.
CREATE INDEX uploads_unswept ON uploads (id)
    WHERE swept_at IS NULL AND (state = 'cancelled' OR state = 'removed' OR tails_written > 0);
