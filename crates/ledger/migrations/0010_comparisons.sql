-- Files that wait for their MD5 get a job that computes it. IDs of uploads are unique among those of jobs.
INSERT INTO jobs (id, kind, upload_id, ticket, run_at, lease_until, attempts, created_at)
    SELECT id, 'compare', id, ticket, 0, 0, 0, updated_at FROM uploads
    WHERE state = 'complete' AND id IN (SELECT upload_id FROM uncompared);
