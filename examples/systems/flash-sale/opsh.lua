-- Targets of the flash sale engine: what differs between one installation and
-- another stands here, the playbooks are the same everywhere. From its operations
-- runbook. Addresses are those of the compose file; another installation sets
-- SALE_HOST.
local host = os.getenv "SALE_HOST" or "localhost"

return {
  environment = "production",
  description = "flash sales: gateway, order processor, Redis, Redpanda",
  protected = true,

  targets = {
    gateway = { kind = "http", url = "http://" .. host .. ":8080",
      description = "takes orders; /health names its circuit breaker" },
    processor = { kind = "http", url = "http://" .. host .. ":9090",
      description = "metrics of the order processor" },
    cache = { kind = "redis", url = "redis://" .. host .. ":6379/0",
      role = "master", timeout = "10s",
      description = "inventory, order status, rate limits" },
    events = { kind = "kafka", brokers = host .. ":9092",
      description = "orders and orders-dlq (Redpanda)" },
    orchestrator = { kind = "compose", file = "docker-compose.yml",
      description = "all containers" },
  },

  services = {
    gateway = { target = "gateway", health = "/health", metrics = "/metrics",
      unit = "gateway", port = 8080, depends = { "redis", "redpanda" },
      env = { "REDIS_ADDR", "KAFKA_ADDR" } },
    processor = { target = "processor", health = "/metrics",
      metrics = "/metrics", unit = "processor", port = 9090,
      depends = { "redis", "redpanda" },
      env = { "REDIS_ADDR", "KAFKA_ADDR" } },
    redis = { target = "cache", unit = "redis",
      container = "flash-sale-engine-redis-1", port = 6379 },
    redpanda = { target = "events", unit = "redpanda",
      container = "flash-sale-engine-redpanda-1", port = 9092 },
  },

  -- Its alerting thresholds. There is no Prometheus in the compose file: `metric`
  -- names what stands in the services' own /metrics, `service` whose.
  thresholds = {
    circuit_breaker = { above = 0, severity = "critical", service = "gateway",
      metric = "gateway_circuit_breaker_state", equals = 1,
      query = "gateway_circuit_breaker_state == bool 1",
      action = "opsh run gateway/circuit-breaker" },
    dlq_size = { above = 100, unit = "messages", severity = "critical",
      service = "processor", metric = "processor_dlq_size",
      query = "processor_dlq_size",
      action = "opsh run kafka/dlq: why they failed; then kafka/dlq-replay" },
    dlq_age = { above = 3600, unit = "seconds", severity = "critical",
      service = "processor", metric = "processor_dlq_oldest_message_age_seconds",
      query = "processor_dlq_oldest_message_age_seconds",
      action = "process the oldest first" },
    error_rate = { above = 0.1, severity = "critical", service = "gateway",
      query = "gateway_orders_failed_total / gateway_orders_received_total",
      action = "health of the services, then their logs" },
    processing_time_p99 = { above = 5, unit = "seconds", severity = "critical",
      service = "processor", query = "histogram_quantile(0.99, "
        .. "rate(processor_order_processing_duration_seconds_bucket[5m]))",
      action = "latency of Redis and Kafka, then scale the processor" },
    inventory_low = { below = 10, unit = "items", severity = "warning",
      service = "processor", metric = "processor_inventory_level",
      query = "processor_inventory_level",
      action = "restock, or get ready for sold out" },
  },

  patterns = {
    inventory = "inventory:*",
    order_status = "order_status:*",
    stock = "stock:*",
    rate_limits = "ratelimit:*",
    orders = "orders",
    group = "processor",
    dlq = "orders-dlq",
    correlation = "correlation_id",
    circuit_log = "circuit",
    dlq_log = "dlq",
    expected_failure = "Payment Timeout",
    data_volume = "flash-sale-engine_redpanda-data",
  },

  contacts = {
    escalation = {
      { level = 1, who = "on-call engineer", how = "the team's rotation" },
    },
    critical = "escalate at once",
  },
}
