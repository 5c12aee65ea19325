"""HTTP routes, request bodies, and the OpenAPI document."""
