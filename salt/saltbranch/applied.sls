# Last of all, the minion records which commit it applied: salt '*' saltbranch.applied
# Nothing of it where the minion has no custom modules (autoload_dynamic_modules: False).
{% if 'saltbranch.commit' in salt %}
saltbranch-applied:
  saltbranch.applied:
    - commit: {{ salt['saltbranch.commit'](saltenv) | json }}
    - order: last
{% endif %}
