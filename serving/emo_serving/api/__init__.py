"""HTTP API: middleware, routes, schemas."""
