{% from 'common/paths.jinja' import prefix with context %}

include:
  - mariadb.config
  {%- if not prefix %}
  - mariadb.server
  {%- endif %}
