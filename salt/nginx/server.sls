# Package and service: only for a machine that really is a web server.
{% from 'nginx/map.jinja' import nginx with context %}

include:
  - nginx.config

nginx:
  pkg.installed:
    - name: {{ nginx.package }}
    - require_in:
      - sls: nginx.config
  service.running:
    - name: {{ nginx.service }}
    - enable: True
    - reload: True
    - watch:
      - sls: nginx.config
