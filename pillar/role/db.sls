{% from 'saltenvs.jinja' import here with context %}

mariadb:
  options:
    # The web servers connect to it; who may is the firewall's business.
    bind-address: 0.0.0.0
    innodb_buffer_pool_size: {{ here.workers * 128 }}M
    max_connections: {{ here.workers * 25 }}

backup:
  dumps:
    mariadb: mariadb-dump --all-databases --single-transaction
