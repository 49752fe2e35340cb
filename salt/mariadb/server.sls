# Package and service: only for a machine that really is a database server.
{% from 'mariadb/map.jinja' import mariadb with context %}

include:
  - mariadb.config

mariadb:
  pkg.installed:
    - name: {{ mariadb.package }}
    - require_in:
      - sls: mariadb.config
  service.running:
    - name: {{ mariadb.service }}
    - enable: True
    - watch:
      - sls: mariadb.config
