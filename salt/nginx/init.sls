{% from 'common/paths.jinja' import prefix with context %}

include:
  - nginx.config
  {%- if not prefix %}
  - nginx.server
  {%- endif %}
