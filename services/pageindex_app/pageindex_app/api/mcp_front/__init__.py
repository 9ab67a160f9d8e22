"""An MCP server at /mcp: its tools, what they take, and what they reply.

Imports what lies beside it in `api`, but neither `routes` nor the other front.
"""
