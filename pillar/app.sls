{% from 'saltenvs.jinja' import here with context %}

app:
  workers: {{ here.workers }}
  log_level: {{ here.log_level }}
  # Not a secret, only shaped like one.  A real one is a PGP message (#!jinja|yaml|gpg).
  token: fake-token-of-{{ saltenv }}
  database:
    host: db.{{ here.domain }}
    name: app
