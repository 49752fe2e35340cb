# saltbranch on a salt-master: the package, its configuration, the first sync and the timer.
{% from 'common/paths.jinja' import prefix with context %}

include:
  - saltbranch.config
  {%- if not prefix %}
  - saltbranch.package
  - saltbranch.service
  {%- endif %}
