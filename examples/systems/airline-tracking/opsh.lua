-- Targets of the airline tracking system: what differs between one installation
-- and another stands here, the playbooks are the same everywhere. From its
-- operations guide 1.0.0. Addresses are those of the compose file; another
-- installation sets FLIGHTS_HOST, or takes `--target cache=redis://...`.
local host = os.getenv "FLIGHTS_HOST" or "localhost"

return {
  environment = "production",
  description = "flight tracking: gateway, flight data, summaries",
  protected = true,

  targets = {
    cache = { kind = "redis", url = "redis://" .. host .. ":6379/0",
      role = "master", timeout = "10s",
      description = "flight cache, flights::CALLSIGN" },
    db = { kind = "postgres", role = "primary",
      url = "postgresql://airline_tracker_user@" .. host
        .. ":5432/airline_tracker",
      password = secret.env "POSTGRES_PASSWORD",
      description = "flights, positions, summaries" },
    events = { kind = "kafka", brokers = host .. ":9092",
      description = "flight events; llm-summary-consumer-group reads them" },
    gateway = { kind = "http", url = "http://" .. host .. ":8080",
      description = "the API" },
    eureka = { kind = "http", url = "http://" .. host .. ":8761",
      description = "registry: three services when all is well" },
    flightdata = { kind = "http", url = "http://" .. host .. ":8081",
      description = "flight data, the origin of the cache" },
    summaries = { kind = "http", url = "http://" .. host .. ":8082",
      description = "summaries by the language model" },
    prometheus = { kind = "http", url = "http://" .. host .. ":9090",
      description = "metrics and alerts" },
    grafana = { kind = "http", url = "http://" .. host .. ":3000",
      description = "dashboards" },
    aeroapi = { kind = "http", url = "https://aeroapi.flightaware.com",
      description = "FlightAware, where positions come from" },
    orchestrator = { kind = "compose", file = "docker-compose.yml",
      description = "all containers" },
  },

  services = {
    ["api-gateway"] = { target = "gateway", health = "/actuator/health",
      metrics = "/actuator/prometheus", unit = "api-gateway", port = 8080,
      depends = { "eureka", "flightdata-service" } },
    ["flightdata-service"] = { target = "flightdata",
      health = "/actuator/health", metrics = "/actuator/prometheus",
      unit = "flightdata-service", port = 8081, replicas = 1,
      depends = { "eureka", "postgres", "redis", "kafka" } },
    ["llm-summary-service"] = { target = "summaries",
      health = "/actuator/health", metrics = "/actuator/prometheus",
      unit = "llm-summary-service", port = 8082,
      depends = { "eureka", "postgres", "kafka" } },
    eureka = { target = "eureka", health = "/actuator/health",
      unit = "eureka-server", port = 8761 },
    postgres = { target = "db", container = "prod-postgres", port = 5432 },
    redis = { target = "cache", container = "prod-redis", port = 6379 },
    kafka = { target = "events", container = "prod-kafka", port = 9092 },
  },

  -- Alert rules of section 2: limit, for how long, how bad.
  thresholds = {
    service_down = { below = 1, minutes = 1, severity = "P0",
      query = 'up{job=~".*-service"}' },
    error_rate = { above = 0.05, minutes = 5, severity = "P1",
      critical_above = 0.10,
      query = 'rate(http_server_requests_seconds_count{status=~"5.."}[5m])'
        .. " / rate(http_server_requests_seconds_count[5m])" },
    response_time_p95 = { above = 2, unit = "seconds", minutes = 10,
      severity = "P2", query = "histogram_quantile(0.95, "
        .. "rate(http_server_requests_seconds_bucket[5m]))" },
    cache_hit_rate = { below = 0.7, minutes = 15, severity = "P2",
      query = "flight_cache_hits_total / (flight_cache_hits_total "
        .. "+ flight_cache_misses_total)" },
    registrations = { below = 3, severity = "P1" },
    memory_gb = { below = 8, severity = "P3" },
    cores = { below = 4, severity = "P3" },
    backup_days = { above = 30, unit = "days", severity = "P3" },
  },

  patterns = {
    flight_cache = "flights::*",
    one_flight = "flights::UAL123",
    log_errors = "ERROR|WARN",
    server_errors = "500 Internal Server Error",
    slow_queries = "duration.*ms",
    gateway_registration = "/eureka/apps/API-GATEWAY",
    one_flight_path = "/api/v1/flight/UAL123",
    origin_health = "/aeroapi/health",
    consumer_group = "llm-summary-consumer-group",
    backups = "/backups/airline_tracker_*.sql.gz",
  },

  contacts = {
    -- minutes until somebody has answered, by severity
    response = { P0 = 5, P1 = 15, P2 = 60, P3 = 240 },
    escalation = {
      { level = 1, who = "on-call engineer", minutes = 15 },
      { level = 2, who = "team lead", minutes = 30 },
      { level = 3, who = "engineering manager", minutes = 60 },
    },
    slack = "#airline-tracker-alerts",
    pagerduty = "airline-tracker-oncall",
    status_page = "status.airline-tracker.com",
    external = {
      { what = "FlightAware", how = "support@flightaware.com" },
      { what = "OpenAI", how = "https://help.openai.com" },
    },
  },
}
