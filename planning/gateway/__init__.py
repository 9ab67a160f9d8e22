"""What nginx is told: its configuration, clients and their keys, error answers, replicas.

May import `planning.settings`.
"""
