import numpy as np
import pytest
from scipy.stats import poisson
from emlearn.testing import check_latent_variable_model
from emlearn.tomography._model import *
from emlearn.tomography._priors import *
from emlearn.tomography._systems import as_system

def make(n=120, shape=(4,4), seed=0):
    rng=np.random.default_rng(seed); A=rng.random((n,shape[0]*shape[1]))*(rng.random((n,16))<.4)
    v=rng.gamma(1.0,3.0,16); b=rng.uniform(0.1,1,n)
    return A,v,b,rng.poisson(A@v+b).astype(float)

def take(X, index):
    A=X.parts[0].system.matrix if len(X.parts)==1 else np.vstack([p.system.matrix for p in X.parts])
    return projections(A[index],X.counts[index],X.background[index])

def projections(A,y,b):
    half=len(A)//2
    parts=[Part(s,as_system(A[s]),A[s].sum(0)) for s in (slice(0,half),slice(half,len(A)))]
    return Projections(parts,y,b)

@pytest.mark.parametrize("prior",[None,QuadraticPrior(),HuberPrior(0.5),RelativeDifferencePrior(),RelativeDifferencePrior(0.5,0.1)],ids=str)
def test_contract(prior):
    A,v,b,y=make()
    model=PoissonReconstruction(prior,0.2,(4,4))
    def score(model,params,X,w):
        return (w if w is not None else np.ones(len(y)))@poisson.logpmf(X.counts, A@params+X.background)
    check_latent_variable_model(model,projections(A,y,b),sample_weight=np.ones(len(y)),take=take,score=score, max_iter=20000)
