"""What every actor stands on: settings, logs, telemetry, supervision, the data folder."""
