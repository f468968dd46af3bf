-- Targets of the saga microservices: what differs between one installation and
-- another stands here, the playbooks are the same everywhere. From its operations
-- runbook. Addresses are names within the cluster (namespace `microservices`);
-- from outside, SAGA_HOST, KAFKA_HOST and so on name what is forwarded there.
-- POSTGRES_PASSWORD comes from the environment.
local function at(name, port, description)
  local host = os.getenv(name:gsub("%-.*", ""):upper() .. "_HOST") or name
  return { kind = "http", url = ("http://%s:%d"):format(host, port),
    description = description }
end

-- A deployment that answers to nobody outside: its pods say how it is.
local function deployment(name, depends)
  return { deployment = name, depends = depends }
end

return {
  environment = "production",
  description = "orders by saga: orchestrator, inventory, payment, notification",
  protected = true,

  targets = {
    saga = at("saga-orchestrator", 8080, "sagas: /api/v1/sagas?status=FAILED"),
    saga_metrics = at("saga-orchestrator", 9090, "its metrics"),
    saga_debug = at("saga-orchestrator", 6060, "its heap: /debug/pprof/heap"),
    prometheus = at("prometheus", 9090, "metrics and alerts"),
    kafka_metrics = at("kafka", 9308, "lag of the consumer groups"),
    db = { kind = "postgres", role = "primary",
      url = "postgresql://postgres@" .. (os.getenv "POSTGRES_HOST" or "postgres")
        .. ":5432/microservices",
      password = secret.env "POSTGRES_PASSWORD",
      description = "saga_instances and the services' tables" },
    events = { kind = "kafka",
      brokers = (os.getenv "KAFKA_HOST" or "kafka") .. ":9092",
      description = "saga-events; saga-orchestrator-group reads them" },
    orchestrator = { kind = "kubernetes", namespace = "microservices",
      description = "all pods" },
  },

  services = {
    ["saga-orchestrator"] = { target = "saga_metrics", health = "/metrics",
      metrics = "/metrics", deployment = "saga-orchestrator", port = 8080,
      depends = { "postgres", "kafka", "inventory-service", "payment-service",
        "notification-service" }, thresholds = { slow = 0.5 } },
    ["inventory-service"] = deployment("inventory-service",
      { "postgres", "kafka" }),
    ["payment-service"] = deployment("payment-service", { "postgres", "kafka" }),
    ["notification-service"] = deployment("notification-service", { "kafka" }),
    postgres = { target = "db", deployment = "postgres", port = 5432 },
    kafka = { target = "events", deployment = "kafka", port = 9092 },
    prometheus = { target = "prometheus", health = "/-/healthy", port = 9090 },
  },

  -- "Key alerts" and the key metrics that are promised.
  thresholds = {
    error_rate = { above = 0.01, minutes = 5, severity = "critical",
      promised = 0.001,
      query = 'rate(http_requests_total{status=~"5.."}[5m])'
        .. " / rate(http_requests_total[5m])" },
    response_time_p95 = { above = 0.5, unit = "seconds", minutes = 5,
      severity = "warning", query = "histogram_quantile(0.95, "
        .. "rate(http_request_duration_seconds_bucket[5m]))" },
    saga_failure_rate = { above = 0.005, minutes = 5, severity = "critical",
      query = "rate(saga_failed_total[5m]) / rate(saga_created_total[5m])" },
    saga_success_rate = { below = 0.99, promised = 0.995, minutes = 5,
      severity = "critical", query = "sum(rate(saga_completed_total[5m]))"
        .. " / sum(rate(saga_created_total[5m]))" },
    database_connections = { above = 0.8, minutes = 5, severity = "warning",
      query = 'database_connections{state="open"}'
        .. ' / ignoring(state) database_connections{state="max"}' },
    availability = { below = 0.9995, severity = "critical" },
    long_query_minutes = { above = 5, critical_above = 10, unit = "minutes",
      severity = "warning" },
  },

  patterns = {
    saga_events = "saga-events",
    saga_group = "saga-orchestrator-group",
    lag_metric = "kafka_consumer_lag",
    memory_query = 'container_memory_usage_bytes{namespace="microservices"}',
    tls_secret = "microservices-tls",
    database_secret = "postgres-secret",
    old_logs = "/var/log/*.log",
  },

  contacts = {
    escalation = {
      { level = 1, who = "on-call engineer", how = "+1-555-0123" },
      { level = 2, who = "platform team lead", how = "platform-team@company.com" },
      { level = 3, who = "engineering manager" },
      { level = 4, who = "CTO" },
    },
    business = "business-ops@company.com",
    dashboards = {
      system = "http://grafana.company.com/d/system-overview",
      sagas = "http://grafana.company.com/d/saga-metrics",
      infrastructure = "http://grafana.company.com/d/infrastructure",
    },
    external = {
      { what = "payment provider", how = "support@payment-provider.com" },
      { what = "cloud provider", how = "enterprise-support@cloud-provider.com" },
      { what = "monitoring vendor", how = "support@monitoring-vendor.com" },
    },
  },
}
