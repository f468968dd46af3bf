-- Targets of the movie booking system: what differs between one installation and
-- another stands here, the playbooks are the same everywhere. From its operations
-- runbook 1.0. Addresses are those of the compose file; another installation sets
-- MOVIES_HOST. Passwords come from the environment: REDIS_PASSWORD,
-- RABBITMQ_PASSWORD, AUTH_DB_PASSWORD and so on; none stands here.
local host = os.getenv "MOVIES_HOST" or "localhost"

-- Each service has a database of its own; its port is published by the compose
-- file of an installation, so it may be set.
local function database(name)
  return { kind = "postgres", role = "primary",
    url = ("postgresql://%s_user@%s:%s/%s_db"):format(name, host,
      os.getenv(name:upper() .. "_DB_PORT") or "5432", name),
    password = secret.env(name:upper() .. "_DB_PASSWORD"),
    description = "of the " .. name .. " service (postgres_" .. name .. ")" }
end

local function http(port, description)
  return { kind = "http", url = ("http://%s:%d"):format(host, port),
    description = description }
end

-- A service of ours and its database.
local function api(name, port, depends)
  return { target = name, health = "/health", metrics = "/metrics",
    unit = name .. "-service", port = port, depends = depends,
    thresholds = { slow = 0.5 } }
end

local function postgres(name)
  return { target = name .. "_db", unit = "postgres-" .. name,
    container = "postgres_" .. name, port = 5432 }
end

return {
  environment = "production",
  description = "movie booking: five services, each with its database",
  protected = true,

  targets = {
    gateway = http(80, "the way in"),
    auth = http(8001, "users and sessions"),
    movie = http(8002, "movies, cinemas, shows"),
    booking = http(8003, "seats; holds lock:* while it books"),
    payment = http(8004, "payments, by RabbitMQ"),
    notification = http(8005, "mails, by RabbitMQ"),
    cache = { kind = "redis", url = "redis://" .. host .. ":6379/0",
      password = secret.env "REDIS_PASSWORD", role = "master", timeout = "10s",
      description = "sessions, cache, locks (movie_booking_redis)" },
    rabbitmq = { kind = "http", url = "http://" .. host .. ":15672",
      user = "admin", password = secret.env "RABBITMQ_PASSWORD",
      description = "management API of RabbitMQ" },
    auth_db = database "auth",
    movie_db = database "movie",
    booking_db = database "booking",
    payment_db = database "payment",
    notification_db = database "notification",
    prometheus = http(9090, "metrics"),
    grafana = http(3000, "dashboards: overview, booking, payment"),
    orchestrator = { kind = "compose", file = "docker-compose.yml",
      description = "all containers" },
  },

  services = {
    gateway = { target = "gateway", port = 80, depends = { "auth-service",
      "movie-service", "booking-service" } },
    ["auth-service"] = api("auth", 8001, { "postgres-auth", "redis" }),
    ["movie-service"] = api("movie", 8002, { "postgres-movie", "redis",
      "auth-service" }),
    ["booking-service"] = api("booking", 8003, { "postgres-booking", "redis",
      "rabbitmq", "auth-service", "movie-service" }),
    ["payment-service"] = api("payment", 8004, { "postgres-payment", "rabbitmq",
      "auth-service", "booking-service" }),
    ["notification-service"] = api("notification", 8005,
      { "postgres-notification", "rabbitmq" }),
    ["postgres-auth"] = postgres "auth",
    ["postgres-movie"] = postgres "movie",
    ["postgres-booking"] = postgres "booking",
    ["postgres-payment"] = postgres "payment",
    ["postgres-notification"] = postgres "notification",
    redis = { target = "cache", container = "movie_booking_redis", port = 6379 },
    rabbitmq = { target = "rabbitmq", health = "/api/overview", port = 15672 },
  },

  -- "Key metrics to watch": the warning, and what is critical.
  thresholds = {
    error_rate = { above = 0.01, critical_above = 0.05, minutes = 5,
      severity = "P3", critical_severity = "P2",
      query = 'sum(rate(http_requests_total{status=~"5.."}[5m]))'
        .. " / sum(rate(http_requests_total[5m]))" },
    response_time_p95 = { above = 0.2, critical_above = 0.5, unit = "seconds",
      minutes = 5, severity = "P3", critical_severity = "P2",
      query = "histogram_quantile(0.95, "
        .. "sum(rate(http_request_duration_seconds_bucket[5m])) by (le))" },
    cpu_percent = { above = 70, critical_above = 90, unit = "percent",
      severity = "P3", critical_severity = "P2" },
    memory_percent = { above = 70, critical_above = 90, unit = "percent",
      severity = "P3", critical_severity = "P2" },
    queue_depth = { above = 1000, critical_above = 5000, unit = "messages",
      severity = "P3", critical_severity = "P2" },
  },

  patterns = {
    locks = "lock:*",
    booking_conflicts = "lock|conflict",
    active_bookings = "booking_active_count",
  },

  contacts = {
    -- minutes until somebody has answered, by severity
    response = { P1 = 15, P2 = 60, P3 = 240, P4 = 1440 },
    escalation = {
      { level = 1, who = "on-call engineer", minutes = 15 },
      { level = 2, who = "tech lead", minutes = 30 },
      { level = 3, who = "product owner", minutes = 60 },
    },
  },
}
