-- Targets of the festivals platform: what differs between one installation and
-- another stands here, the playbooks are the same everywhere. From its operational
-- runbook. The API is asked where the public asks it; Redis and Postgres are names
-- within the cluster (namespace `festivals`), or REDIS_HOST and POSTGRES_HOST.
-- POSTGRES_PASSWORD and ADMIN_TOKEN come from the environment.
local redis = os.getenv "REDIS_HOST" or "redis"
local postgres = os.getenv "POSTGRES_HOST" or "postgres"
local prometheus = os.getenv "PROMETHEUS_HOST" or "prometheus"

return {
  environment = "production",
  description = "festivals: API, workers, payments by Stripe",
  protected = true,

  targets = {
    api = { kind = "http", url = "https://api.festivals.app",
      description = "the API, as the public sees it" },
    admin = { kind = "http", url = "https://api.festivals.app",
      token = secret.env "ADMIN_TOKEN",
      description = "the same, as an administrator: /admin/transactions/retry" },
    admin_site = { kind = "http", url = "https://admin.festivals.app",
      description = "the administration site" },
    stripe_status = { kind = "http", url = "https://status.stripe.com",
      description = "Stripe's status page: /api/v2/status.json" },
    cache = { kind = "redis", url = "redis://" .. redis .. ":6379/0",
      role = "master", timeout = "10s",
      description = "cache and the queues of the workers (redis-0)" },
    db = { kind = "postgres", role = "primary",
      url = "postgresql://festivals@" .. postgres .. ":5432/festivals",
      password = secret.env "POSTGRES_PASSWORD",
      description = "postgres-0, or RDS festivals-production" },
    prometheus = { kind = "http", url = "http://" .. prometheus .. ":9090",
      description = "metrics and alerts" },
    orchestrator = { kind = "kubernetes", namespace = "festivals",
      description = "all pods" },
    ingress = { kind = "kubernetes", namespace = "ingress-nginx",
      description = "ingress-nginx-controller: holds the certificates" },
  },

  services = {
    ["festivals-api"] = { target = "api", deployment = "festivals-api",
      tls = "api.festivals.app:443", labels = { app = "festivals-api" },
      depends = { "postgres", "redis" }, thresholds = { slow = 0.5 } },
    ["festivals-worker"] = { deployment = "festivals-worker",
      labels = { app = "festivals-worker" }, depends = { "redis", "postgres" } },
    admin = { target = "admin_site", tls = "admin.festivals.app:443",
      depends = { "festivals-api" } },
    redis = { target = "cache", deployment = "redis", port = 6379 },
    postgres = { target = "db", deployment = "postgres", port = 5432 },
  },

  thresholds = {
    error_rate = { above = 0.01, minutes = 5, severity = "critical",
      alert = "HighErrorRate", query = "sum(rate("
        .. 'festivals_http_request_duration_seconds_count{status=~"5.."}[5m]))'
        .. " / sum(rate(festivals_http_request_duration_seconds_count[5m]))" },
    latency_p99 = { above = 0.5, unit = "seconds", minutes = 5,
      severity = "warning", alert = "HighLatencyP99",
      query = "histogram_quantile(0.99, sum(rate("
        .. "festivals_http_request_duration_seconds_bucket[5m])) by (le, path))" },
    cache_hit_rate = { below = 0.7, severity = "warning",
      query = "festivals:cache_hits"
        .. " / (festivals:cache_hits + festivals:cache_misses)" },
    idle_minutes = { above = 10, unit = "minutes", severity = "warning" },
    certificate_days = { below = 30, critical_below = 7, unit = "days",
      severity = "warning", alert = "SSLCertificateExpiringSoon" },
  },

  patterns = {
    queue_critical = "festivals:queue:critical",
    queue_default = "festivals:queue:default",
    queue_low = "festivals:queue:low",
    queue_failed = "festivals:queue:failed",
    queues = "festivals:queue:*",
    slow_log = "duration.*[0-9]{3,}ms",
    payments = "payment",
    webhook = "/webhooks/stripe",
    retry = "/admin/transactions/retry",
    tls_secret = "festivals-tls",
    database_instance = "festivals-production",
    database_cluster = "festivals-cluster",
  },

  contacts = {
    escalation = {
      { level = 1, who = "on-call engineer", how = "PagerDuty",
        when = "all critical alerts" },
      { level = 2, who = "engineering manager", how = "phone, Slack",
        minutes = 30 },
      { level = 3, who = "CTO", how = "phone", minutes = 60,
        when = "data breach, extended outage" },
    },
    external = {
      { what = "Stripe", how = "support@stripe.com", when = "payments" },
      { what = "AWS", how = "AWS console", when = "infrastructure" },
    },
  },
}
