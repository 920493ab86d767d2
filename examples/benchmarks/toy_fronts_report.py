def table(*a,**k): return ''
def draw(*a,**k): raise SystemExit
