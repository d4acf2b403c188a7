"""What is said of images, and what is said of many of them together.  No torch is needed."""

from knowbound.judgement.judgement import DECISIONS as DECISIONS
from knowbound.judgement.judgement import Judgement as Judgement
from knowbound.judgement.judgement import Verdict as Verdict
from knowbound.judgement.judgement import nothing_judged as nothing_judged
from knowbound.judgement.judgement import verdicts as verdicts
