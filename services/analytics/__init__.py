"""Analytics: events from Kafka into ClickHouse exactly once, the dashboard over them, and the velocity meter."""
