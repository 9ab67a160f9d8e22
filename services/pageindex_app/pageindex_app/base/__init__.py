"""What every other package stands on: settings, errors and their sentences, log, metrics, files, time.

Imports no other package of the app, and nothing of FastAPI.
"""
