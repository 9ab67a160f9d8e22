"""HTTP: the app's own routes, the OpenAI and MCP fronts, the web page, and how errors and streams look on the wire.

Imports every other package. Nothing imports `api` but the program that serves it. `routes`, `openai_front` and
`mcp_front` do not import each other.
"""
