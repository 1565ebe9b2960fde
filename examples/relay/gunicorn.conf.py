"""How gunicorn runs this application: it reads this file from its working directory."""

workers = 1
threads = 8  # a request waits for the network most of the time
