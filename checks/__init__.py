"""What `up` asks of the finished stack. Knows URLs and a docker command line, nothing of Pulumi.

May import `host_access` and `planning`.
"""
