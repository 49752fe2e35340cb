{% from 'saltenvs.jinja' import here with context %}

backup:
  target: /var/backups/salt
  keep_days: {{ here.keep_days }}
