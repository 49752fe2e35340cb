include:
  - saltbranch
